"""Theory of mind: what people believe and know, after Wimmer and Perner's (1983) false-belief task.

The families plan who sees what; the solvers read the story sentence by sentence and keep a belief for each person.
"""

import re

from components.synthesis.drafts import Draft
from components.synthesis.generators import Draw, Lexicon, extract, words_in, yes_no


def false_belief(draw: Draw) -> Draft:
    """A thing is moved while its owner is away, or while the owner watches; asked for a belief or for reality."""
    owner, other = draw.sample(draw.lexicon["names"], 2)
    thing = draw.choice(draw.lexicon["objects"])
    start, end, third = draw.sample(draw.lexicon["containers"], 3)
    away, about = draw.random() < 0.6, draw.choice(("owner", "owner", "other", "place"))
    back = away and draw.random() < 0.5
    story = f"{owner} puts the {thing} in the {start}. {owner} {'leaves' if away else 'stays and watches'}. "
    story += f"{other} moves the {thing} to the {end}. " + (f"{owner} comes back. " if back else "")
    if about == "place":
        story += f"Where is the {thing} now?"
        answer, reason = end, f"{other} moved it to the {end}."
    else:
        person = owner if about == "owner" else other
        fooled = about == "owner" and away
        answer = start if fooled else end
        story += f"Where will {person} look for the {thing}?"
        reason = f"{person} {'did not see the move' if fooled else 'saw the move'} and will look in the {answer}."
    wrong = (end if answer == start else start, third)
    shape = f"{'away' if away else 'stays'}, asked for {about}{', comes back' if back else ''}"
    return Draft(story, answer, wrong if draw.random() < 0.5 else wrong[::-1], reason, template=shape)


def solve_false_belief(question: str, lexicon: Lexicon) -> str:
    *story, asked = re.split(r"(?<=[.?]) ", question)
    names = words_in(question, lexicon["names"])
    present, belief, place = set(names), dict.fromkeys(names, ""), ""
    for sentence in story:
        who = sentence.split()[0]
        if sentence.endswith("leaves."):
            present.discard(who)
        elif sentence.endswith("comes back."):
            present.add(who)
        elif moved := re.search(r"(?:in|to) the (\w+)\.", sentence):
            place = moved.group(1)
            belief |= dict.fromkeys(present, place)
    return place if asked.startswith("Where is") else belief[extract(r"Where will (\w+) look", asked)]


def knowledge(draw: Draw) -> Draft:
    """Who knows of an event: those who were in the room, or were told."""
    actor, asked, third = draw.sample(draw.lexicon["names"], 3)
    here, there = draw.sample(draw.lexicon["rooms"], 2)
    events = ("drops a cup", "breaks a plate", "finds a key", "hides a gift", "opens a letter", "paints a chair")
    event = draw.choice(events)
    with_actor, told = draw.random() < 0.4, draw.random() < 0.25
    near, far = (asked, third) if with_actor else (third, asked)
    story = f"{actor} and {near} are in the {here}. {far} is in the {there}. {actor} {event}. "
    if told and not with_actor:
        story += f"Later {actor if draw.random() < 0.5 else third} tells {asked}. "
    if with_actor:
        shape, reason = "together", f"{asked} is in the {here} too and sees it."
    elif told:
        shape, reason = "told", f"{asked} hears about it later."
    else:
        shape, reason = "apart", f"{asked} is in the {there} and does not see it."
    template = f"{shape}: {event.split()[0]}"
    return Draft(f"{story}Does {asked} know about it?", *yes_no(with_actor or told), reason, template=template)


def solve_knowledge(question: str, lexicon: Lexicon) -> str:
    room: dict[str, str] = {}
    for first, second, place in re.findall(r"(\w+) and (\w+) are in the (\w+)\.", question):
        room |= {first: place, second: place}
    room |= dict(re.findall(r"(\w+) is in the (\w+)\.", question))
    actor = extract(r"\. (\w+) (?:drops|breaks|finds|hides|opens|paints) ", question)
    knowing = {person for person, place in room.items() if place == room[actor]}
    knowing |= {
        listener for teller, listener in re.findall(r"Later (\w+) tells (\w+)\.", question) if teller in knowing
    }
    return "yes" if extract(r"Does (\w+) know", question) in knowing else "no"
