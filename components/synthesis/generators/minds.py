"""Theory of mind: what people believe and know, after Wimmer and Perner's (1983) false-belief task.

The generators plan who sees what; the solvers read the story sentence by sentence and keep a belief for each person.
"""

import re
from collections.abc import Iterator
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task


def false_belief(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """A thing is moved while its owner is away, or while the owner watches; asked for a belief or for reality."""
    while True:
        owner, other = rng.sample(lexicon["names"], 2)
        thing = rng.choice(lexicon["objects"])
        start, end, third = rng.sample(lexicon["containers"], 3)
        away, about = rng.random() < 0.6, rng.choice(("owner", "owner", "other", "place"))
        story = f"{owner} puts the {thing} in the {start}. "
        story += f"{owner} leaves. " if away else f"{owner} stays and watches. "
        story += f"{other} moves the {thing} to the {end}. "
        if away and rng.random() < 0.5:
            story += f"{owner} comes back. "
        if about == "place":
            story += f"Where is the {thing} now?"
            answer, reason = end, f"{other} moved it to the {end}."
        else:
            person = owner if about == "owner" else other
            fooled = about == "owner" and away
            answer = start if fooled else end
            story += f"Where will {person} look for the {thing}?"
            reason = f"{person} {'did not see the move' if fooled else 'saw the move'} and thinks of the {answer}."
        wrong = (end if answer == start else start, third)
        shape = f"{'away' if away else 'stays'}, asked for {about}{', comes back' if 'comes back' in story else ''}"
        yield Draft(story, answer, wrong if rng.random() < 0.5 else wrong[::-1], reason, template=shape)


def solve_false_belief(question: str, lexicon: Lexicon) -> str:
    *story, asked = re.split(r"(?<=[.?]) ", question)
    names = [name for name in lexicon["names"] if re.search(rf"\b{name}\b", question)]
    present, belief, place = set(names), dict.fromkeys(names, ""), ""
    for sentence in story:
        who = sentence.split()[0]
        if sentence.endswith("leaves."):
            present.discard(who)
        elif sentence.endswith("comes back."):
            present.add(who)
        elif found := re.search(r"(?:in|to) the (\w+)\.", sentence):
            place = found.group(1)
            belief |= dict.fromkeys(present, place)
    if asked.startswith("Where is"):
        return place
    return belief[re.search(r"Where will (\w+) look", asked).group(1)]


def knowledge(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Who knows of an event: those who were in the room, or were told."""
    events = ("drops a cup", "breaks a plate", "finds a key", "hides a gift", "opens a letter", "paints a chair")
    while True:
        actor, asked, third = rng.sample(lexicon["names"], 3)
        here, there = rng.sample(lexicon["rooms"], 2)
        event = rng.choice(events)
        with_actor, told = rng.random() < 0.4, rng.random() < 0.25
        rooms = f"{actor} and {asked} are in the {here}. {third} is in the {there}. "
        if not with_actor:
            rooms = f"{actor} and {third} are in the {here}. {asked} is in the {there}. "
        story = f"{rooms}{actor} {event}. "
        if told:
            story += f"Later {actor if rng.random() < 0.5 else third} tells {asked}. " if not with_actor else ""
        knows = with_actor or told
        answer, wrong = ("yes", "no") if knows else ("no", "yes")
        if with_actor:
            reason = f"{asked} is in the {here} too and sees it."
        else:
            reason = f"{asked} hears of it later." if told else f"{asked} is in the {there} and does not see it."
        shape = "together" if with_actor else "told" if told else "apart"
        yield Draft(
            f"{story}Does {asked} know about it?", answer, (wrong,), reason, template=f"{shape}: {event.split()[0]}"
        )


def solve_knowledge(question: str, lexicon: Lexicon) -> str:
    room = {}
    for first, second, place in re.findall(r"(\w+) and (\w+) are in the (\w+)\.", question):
        room |= {first: place, second: place}
    room |= dict(re.findall(r"(\w+) is in the (\w+)\.", question))
    actor = re.search(r"\. (\w+) (?:drops|breaks|finds|hides|opens|paints) ", question).group(1)
    knowing = {person for person, place in room.items() if place == room[actor]}
    knowing |= {
        listener for teller, listener in re.findall(r"Later (\w+) tells (\w+)\.", question) if teller in knowing
    }
    return "yes" if re.search(r"Does (\w+) know", question).group(1) in knowing else "no"


TASKS = (
    Task("false_belief", "theory of mind", false_belief, solve_false_belief, weight=1.5),
    Task("knowledge", "theory of mind", knowledge, solve_knowledge, weight=2),
)
