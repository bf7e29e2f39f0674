"""Theory of mind beyond the first order: what one thinks that another thinks, labels that deceive, wants, lies, views.

After Perner and Wimmer (1985, second-order beliefs), Perner, Leekam and Wimmer (1987, the box of sweets) and Repacholi
and Gopnik (1997, other people's tastes). The solvers read the story and keep what each person has seen or heard.
"""

import re
from collections.abc import Iterator
from random import Random

from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon, Task, ask, shuffled, yes_no

SECRET = (
    "{a} puts the {x} into the {s} and goes out. {b} moves the {x} to the {e}. Through the window {a} sees it, and {b} "
    "does not notice that. Where does {b} think that {a} will look?",
    "{a} hides the {x} in the {s} and leaves. {b} takes it over to the {e}. {a} watches secretly, unknown to {b}. In "
    "which place, as {b} believes, will {a} search?",
)
OPEN = (
    "{a} puts the {x} into the {s} and goes out. {b} moves the {x} to the {e} and tells {a} about it. Where does {b} "
    "think that {a} will look?",
    "{a} hides the {x} in the {s}. While {a} stands beside, {b} takes it over to the {e}, and {b} knows that {a} is "
    "there. In which place, as {b} believes, will {a} search?",
)
FIRST = (
    "{a} puts the {x} into the {s} and goes out. {b} moves the {x} to the {e}. Through the window {a} sees it, and {b} "
    "does not notice that. Where will {a} look?",
    "{a} hides the {x} in the {s} and leaves. {b} takes it over to the {e}. {a} watches secretly, unknown to {b}. In "
    "which place will {a} search?",
)


def second_order(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """What one person thinks that another believes, and what that one really believes."""
    while True:
        (a, b), x = rng.sample(lexicon["names"], 2), rng.choice(lexicon["objects"])
        s, e, third = rng.sample(lexicon["containers"], 3)
        forms = rng.choice((SECRET, SECRET, OPEN, FIRST))
        answer = s if forms is SECRET else e
        reason = {
            id(SECRET): f"{b} does not know that {a} has seen the move.",
            id(OPEN): f"{b} knows that {a} knows of the move.",
            id(FIRST): f"{a} has seen the move.",
        }[id(forms)]
        wrong = shuffled(rng, (e if answer == s else s, third))
        yield ask(rng, forms, answer, wrong, reason, a=a, b=b, x=x, s=s, e=e)


def solve_second_order(question: str, lexicon: Lexicon) -> str:
    """Beliefs are a table: who, about whom, where. A fact that is common enters all rows, a secret one only one."""
    start, end = re.findall(rf"\b({'|'.join(lexicon['containers'])})\b", question)[:2]
    mover = re.search(r"(\w+) (?:moves|takes)", question).group(1)
    belief = {"owner": start, "mover about owner": start}
    if re.search(r"tells|stands beside", question):
        belief = dict.fromkeys(belief, end)
    elif re.search(r"Through the window|secretly", question):
        belief["owner"] = end
    asked = question.rpartition(". ")[2]
    return belief["mover about owner" if re.search(rf"{mover} (?:think|believes)", asked) else "owner"]


LABELS = ("sweets", "pencils", "buttons", "matches", "nails", "biscuits", "crayons", "stamps", "beads", "coins")
CONTENTS = (
    (
        "On the box stands {x}. {a} opens it and finds {y}. {b} has not looked inside. What does {b} think is in it?",
        "other",
    ),
    (
        "A box is labelled {x}, but {y} are in it. {b} sees the closed box for the first time. What does {b} expect in it?",
        "other",
    ),
    ("A box says {x}. {a} looks in and sees {y}. Before that, what did {a} think was in it?", "other"),
    ("On the box stands {x}. {a} opens it, finds {y} and closes it. What does {a} think is in it now?", "self"),
    ("A box is labelled {x}, but {y} are in it. {a} has shown {b} the inside. What does {b} think is in it?", "self"),
    ("A box says {x}. {a} looks in and sees {y}. What is really in it?", "self"),
)


def contents(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """A box that holds something else than its label says."""
    while True:
        x, y, z = rng.sample(LABELS, 3)
        a, b = rng.sample(lexicon["names"], 2)
        form, who = rng.choice(CONTENTS)
        answer, wrong = (x, (y, z)) if who == "other" else (y, (x, z))
        reason = (
            "Who has not looked inside goes by the label." if who == "other" else "Who has looked inside knows better."
        )
        yield ask(rng, (form,), answer, shuffled(rng, wrong), reason, x=x, y=y, a=a, b=b)


def solve_contents(question: str, lexicon: Lexicon) -> str:
    label, inside = [word for word in re.findall(r"\w+", question) if word in LABELS][:2]
    *story, asked = re.split(r"(?<=[.?]) ", question)
    seen = set()
    for sentence in story:
        if found := re.search(r"(\w+) (?:opens|looks in)", sentence):
            seen.add(found.group(1))
        if found := re.search(r"(\w+) has shown (\w+)", sentence):
            seen |= {*found.groups()}
    if "really" in asked:
        return inside
    person = re.search(r"(?:does|did) (\w+)", asked).group(1)
    return inside if person in seen and "Before" not in asked else label


FRUITS = ("pear", "plum", "peach", "lemon", "melon", "cherry", "banana", "mango")
TASTE = (
    ("{a} likes the {x} and not the {y}. {b} likes the {y} and not the {x}. {a} brings {b} something nice. What?", "b"),
    ("{b} likes the {y} and not the {x}. {a} likes the {x} and not the {y}. {a} takes something to eat. What?", "a"),
    ("{a} likes the {x} and not the {y}. {b} likes the {y} and not the {x}. With which one does {a} please {b}?", "b"),
    (
        "{b} likes the {x} and not the {y}, but {a} thinks that {b} likes the {y}. What does {a} bring {b} as a treat?",
        "b",
    ),
    (
        "{b} likes the {y} and not the {x}, but {a} thinks that {b} likes the {x}. Which one would {b} really enjoy?",
        "b",
    ),
    ("{a} likes the {x} and not the {y}, but {b} thinks that {a} likes the {y}. Which one does {a} choose?", "a"),
)


def tastes(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Other people's tastes, and beliefs about them."""
    while True:
        x, y = rng.sample(FRUITS, 2)
        a, b = rng.sample(lexicon["names"], 2)
        form, who = rng.choice(TASTE)
        answer, wrong = (x, y) if who == "a" else (y, x)
        reason = f"{a} goes by what {b} likes, as far as {a} knows." if "bring" in form or "please" in form else ""
        reason = reason or "Everyone chooses by their own taste."
        yield ask(rng, (form,), answer, (wrong,), reason, x=x, y=y, a=a, b=b)


def solve_tastes(question: str, lexicon: Lexicon) -> str:
    likes = dict(re.findall(r"(?<!that )\b([A-Z]\w+) likes the (\w+)", question))
    thinks = {(p, q): fruit for p, q, fruit in re.findall(r"(\w+) thinks that (\w+) likes the (\w+)", question)}
    if gift := re.search(r"does (\w+) (?:bring|please) (\w+)|(\w+) brings (\w+) something", question):
        giver, taker = (name for name in gift.groups() if name)
        return thinks.get((giver, taker), likes.get(taker))
    chooser = re.search(r"would (\w+)|does (\w+) choose|(\w+) takes something", question)
    return likes[next(filter(None, chooser.groups()))]


REPORT = (
    ("{a} tells {b}: the {x} is in the {s}. In truth it is in the {e}. {b} believes {a}. Where will {b} look?", "s"),
    ("The {x} is in the {e}. {a} says to {b} that it is in the {s}, and {b} trusts {a}. Where does {b} search?", "s"),
    ("The {x} is in the {e}, and {b} has seen it there. {a} says that it is in the {s}. Where does {b} search?", "e"),
    ("{a} tells {b}: the {x} is in the {s}. In truth it is in the {e}, and {b} knows that. Where will {b} look?", "e"),
    (
        "The {x} is in the {e}. {a} thinks that it is in the {s} and tells {b} so. {b} trusts {a}. Where will {b} look?",
        "s",
    ),
    ("The {x} is in the {e}. {a} says to {b} that it is in the {s}, and {b} trusts {a}. Where is it?", "e"),
)


def reports(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """What people believe because they were told, and what they know better."""
    while True:
        (a, b), x = rng.sample(lexicon["names"], 2), rng.choice(lexicon["objects"])
        s, e, third = rng.sample(lexicon["containers"], 3)
        form, which = rng.choice(REPORT)
        answer, wrong = (s, (e, third)) if which == "s" else (e, (s, third))
        reason = f"{b} goes by the words of {a}." if which == "s" else f"It is in the {e}, whatever was said."
        yield ask(rng, (form,), answer, shuffled(rng, wrong), reason, a=a, b=b, x=x, s=s, e=e)


def solve_reports(question: str, lexicon: Lexicon) -> str:
    place = rf"in the ({'|'.join(lexicon['containers'])})"
    said = re.search(rf"(?:tells \w+: the \w+ is|(?:says|thinks)(?: to \w+)? that it is) {place}", question).group(1)
    (real,) = set(re.findall(place, question)) - {said}
    knows = bool(re.search(r"has seen it|knows that", question))
    return real if knows or question.endswith("Where is it?") else said


VIEW = (
    "A wall stands between {a} and the {x}. {b} is on the side of {w}. Can {b} see the {x}?",
    "{a} stands before a wall, the {x} lies behind it. {b} has come to the side of {w}. Does {b} see the {x}?",
    "The {x} is on one side of a curtain, {a} on the other. {b} joins {w}. Is the {x} in the sight of {b}?",
    "{a} cannot see the {x}, since a hedge is between. {b} is where {w} is. Can {b} look at the {x}?",
)


def views(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Who sees what, from which side (perspective taking of the first level)."""
    while True:
        a, b = rng.sample(lexicon["names"], 2)
        x, near_thing = rng.choice(lexicon["objects"]), rng.random() < 0.5
        answer, wrong = yes_no(near_thing)
        reason = (
            f"Nothing stands between {b} and the {x}." if near_thing else f"{b} has the same thing in the way as {a}."
        )
        yield ask(rng, VIEW, answer, wrong, reason, a=a, b=b, x=x, w=f"the {x}" if near_thing else a)


def solve_views(question: str, lexicon: Lexicon) -> str:
    thing = re.search(r"the (\w+)\?|the (\w+) in the sight", question)
    thing = next(filter(None, thing.groups()))
    where = re.search(r"(?:on|to) the side of (?:the )?(\w+)|joins (?:the )?(\w+)|is where (?:the )?(\w+) is", question)
    return "yes" if next(filter(None, where.groups())) == thing else "no"


WISH = (
    "{a} wishes for a {x}. In the parcel is a {y}. Is {a} glad or disappointed?",
    "{a} hoped to get a {x} and gets a {y}. How does {a} feel: glad or disappointed?",
    "{b} wants a {z}, {a} wants a {x}. {a} is given a {y}. Is {a} glad or disappointed?",
    "{a} has asked for a {x}. The door opens, and there is a {y}. Will {a} be glad or disappointed?",
)


def wishes(rng: Random, lexicon: Lexicon) -> Iterator[Draft]:
    """Feelings follow from what one wished for, not from the thing alone."""
    things = [thing for thing in (*lexicon["flat"], *lexicon["objects"]) if thing[0] not in "aeiou"]
    while True:
        x, z, other = rng.sample(sorted(set(things)), 3)
        got = rng.random() < 0.5
        y = x if got else rng.choice((z, other))
        a, b = rng.sample(lexicon["names"], 2)
        answer, wrong = ("glad", "disappointed") if got else ("disappointed", "glad")
        reason = f"{a} wished for a {x} and got {'it' if got else f'a {y}'}."
        yield ask(rng, WISH, answer, (wrong,), reason, a=a, b=b, x=x, y=y, z=z)


def solve_wishes(question: str, lexicon: Lexicon) -> str:
    person = re.search(r"(?:Is|does|Will) (\w+)", question.rpartition(". ")[2] or question)
    person = person.group(1) if person else question.split()[0]
    wanted = re.search(rf"{person} (?:wishes for|hoped to get|wants|has asked for) a (\w+)", question).group(1)
    got = re.search(r"(?:parcel is|gets|is given|there is) a (\w+)", question).group(1)
    return "glad" if wanted == got else "disappointed"


TASKS = (
    Task("second_order", "theory of mind", second_order, solve_second_order, weight=0.5),
    Task("contents", "theory of mind", contents, solve_contents, weight=0.5),
    Task("tastes", "theory of mind", tastes, solve_tastes, weight=0.5),
    Task("reports", "theory of mind", reports, solve_reports, weight=0.5),
    Task("views", "theory of mind", views, solve_views, weight=0.5),
    Task("wishes", "theory of mind", wishes, solve_wishes, weight=0.5),
)
