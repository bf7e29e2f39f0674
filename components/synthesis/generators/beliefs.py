"""Theory of mind beyond the first order: what one thinks that another thinks, labels that deceive, wants, lies, views.

After Perner and Wimmer (1985, second-order beliefs), Perner, Leekam and Wimmer (1987, the box of sweets) and Repacholi
and Gopnik (1997, other people's tastes). The solvers read the story and keep what each person has seen or heard.
"""

import re

from components.synthesis.drafts import Draft
from components.synthesis.generators import Draw, Lexicon, extract, words_in, yes_no


def second_order(draw: Draw) -> Draft:
    """What one person thinks that another believes, and what that one really believes."""
    (a, b), x = draw.sample(draw.lexicon["names"], 2), draw.choice(draw.lexicon["objects"])
    s, e, third = draw.sample(draw.lexicon["containers"], 3)
    kind = draw.choice(("secret", "secret", "open", "seen"))
    answer, wrong = (s, e) if kind == "secret" else (e, s)
    reason = {
        "secret": f"{b} does not know that {a} has seen the move.",
        "open": f"{b} knows that {a} knows about the move.",
        "seen": f"{a} has seen the move.",
    }[kind]
    return draw.ask(answer, draw.shuffled((wrong, third)), reason, "", kind, a=a, b=b, x=x, s=s, e=e)


def solve_second_order(question: str, lexicon: Lexicon) -> str:
    """Beliefs are a table: who, about whom, where. A fact that is common enters all rows, a secret one only one."""
    start, end = words_in(question, lexicon["containers"])[:2]
    mover = extract(r"(\w+) (?:moves|takes)", question)
    belief = {"owner": start, "mover about owner": start}
    if re.search(r"tells|stands beside", question):
        belief = dict.fromkeys(belief, end)
    elif re.search(r"Through the window|secretly", question):
        belief["owner"] = end
    asked = question.rpartition(". ")[2]
    return belief["mover about owner" if re.search(rf"{mover} (?:think|believe)", asked) else "owner"]


LABELS = ("sweets", "pencils", "buttons", "matches", "nails", "biscuits", "crayons", "stamps", "beads", "coins")


def contents(draw: Draw) -> Draft:
    """A box that holds something else than its label says."""
    x, y, z = draw.sample(LABELS, 3)
    a, b = draw.sample(draw.lexicon["names"], 2)
    form = draw.choice(draw.forms)
    answer, wrong, reason = {
        "other": (x, (y, z), "Anyone who has not looked inside goes by the label."),
        "self": (y, (x, z), "Anyone who has looked inside knows better."),
    }[form.kind]
    return draw.ask(answer, draw.shuffled(wrong), reason, "", form, x=x, y=y, a=a, b=b)


def solve_contents(question: str, lexicon: Lexicon) -> str:
    label, inside = words_in(question, LABELS)[:2]
    *story, asked = re.split(r"(?<=[.?]) ", question)
    seen = set()
    for sentence in story:
        if opened := re.search(r"(\w+) (?:opens|looks in)", sentence):
            seen.add(opened.group(1))
        if shown := re.search(r"(\w+) has shown (\w+)", sentence):
            seen |= {*shown.groups()}
    if "really" in asked:
        return inside
    return inside if extract(r"(?:does|did) (\w+)", asked) in seen and "Before" not in asked else label


FRUITS = ("pear", "plum", "peach", "lemon", "melon", "cherry", "banana", "mango")


def tastes(draw: Draw) -> Draft:
    """Other people's tastes, and beliefs about them."""
    x, y = draw.sample(FRUITS, 2)
    a, b = draw.sample(draw.lexicon["names"], 2)
    form = draw.choice(draw.forms)
    answer, wrong = (x, y) if form.kind == "a" else (y, x)
    reason = "Everyone chooses by their own taste."
    if "bring" in form.text:
        reason = f"{a} goes by what {b} likes, as far as {a} knows."
    return draw.ask(answer, (wrong,), reason, "", form, x=x, y=y, a=a, b=b)


def solve_tastes(question: str, lexicon: Lexicon) -> str:
    likes = dict(re.findall(r"(?<!that )\b([A-Z]\w+) likes the (\w+)", question))
    thinks = {(p, q): fruit for p, q, fruit in re.findall(r"(\w+) thinks that (\w+) likes the (\w+)", question)}
    if gift := re.search(r"does (\w+) bring (?:to please )?(\w+)|(\w+) brings (\w+) something", question):
        giver, taker = (name for name in gift.groups() if name)
        return thinks.get((giver, taker)) or likes[taker]
    return likes[extract(r"would (\w+)|does (\w+) choose|(\w+) takes something", question)]


def reports(draw: Draw) -> Draft:
    """What people believe because they were told, and what they know better."""
    (a, b), x = draw.sample(draw.lexicon["names"], 2), draw.choice(draw.lexicon["objects"])
    s, e, third = draw.sample(draw.lexicon["containers"], 3)
    form = draw.choice(draw.forms)
    answer, wrong, reason = {
        "s": (s, (e, third), f"{b} goes by the words of {a}."),
        "e": (e, (s, third), f"It is in the {e}, whatever was said."),
    }[form.kind]
    return draw.ask(answer, draw.shuffled(wrong), reason, "", form, a=a, b=b, x=x, s=s, e=e)


def solve_reports(question: str, lexicon: Lexicon) -> str:
    place = rf"in the ({'|'.join(lexicon['containers'])})"
    said = extract(rf"(?:tells \w+ that the \w+ is|(?:says|thinks)(?: to \w+)? that it is) {place}", question)
    (real,) = set(re.findall(place, question)) - {said}
    knows = bool(re.search(r"has seen it|knows that", question))
    return real if knows or question.endswith("Where is it?") else said


def views(draw: Draw) -> Draft:
    """Who sees what, from which side (perspective taking of the first level)."""
    a, b = draw.sample(draw.lexicon["names"], 2)
    x, near_thing = draw.choice(draw.lexicon["objects"]), draw.random() < 0.5
    reason = (
        f"Nothing stands between {b} and the {x}." if near_thing else f"The same thing is in the way of {a} and {b}."
    )
    return draw.ask(*yes_no(near_thing), reason, a=a, b=b, x=x, w=f"the {x}" if near_thing else a)


def solve_views(question: str, lexicon: Lexicon) -> str:
    thing = extract(r"the (\w+)\?|the (\w+) within sight", question)
    where = r"(?:on|to) the same side as (?:the )?(\w+)|is beside (?:the )?(\w+)|is where (?:the )?(\w+) is"
    return "yes" if extract(where, question) == thing else "no"


def wishes(draw: Draw) -> Draft:
    """Feelings follow from what one wished for, not from the thing alone."""
    things = {thing for thing in (*draw.lexicon["flat"], *draw.lexicon["objects"]) if thing[0] not in "aeiou"}
    x, z, other = draw.sample(sorted(things), 3)
    got = draw.random() < 0.5
    y = x if got else draw.choice((z, other))
    a, b = draw.sample(draw.lexicon["names"], 2)
    answer, wrong = ("glad", "disappointed") if got else ("disappointed", "glad")
    reason = f"{a} wished for a {x} and got {'it' if got else f'a {y}'}."
    return draw.ask(answer, (wrong,), reason, a=a, b=b, x=x, y=y, z=z)


def solve_wishes(question: str, lexicon: Lexicon) -> str:
    asked = re.search(r"(?:Is|does|Will) (\w+)", question.rpartition(". ")[2])
    person = asked.group(1) if asked else question.split()[0]
    wanted = extract(rf"{person} (?:wishes for|hopes to get|wants|has asked for) a (\w+)", question)
    return "glad" if extract(r"(?:parcel is|gets|is given|there is) a (\w+)", question) == wanted else "disappointed"
