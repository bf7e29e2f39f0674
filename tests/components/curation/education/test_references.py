"""The reference texts, how a classifier scores unseen texts, and what the report says about it."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from components.curation.education.classifier import REFERENCE, Classifier, fit
from components.curation.education.features import running_text
from components.curation.education.references import BAD_VALUE, GOOD_VALUE, explained, generated, good_texts, references
from components.curation.education.report import Report, doubts, remarks
from components.params.education import EducationParams

PARAMS = EducationParams()
WEB, PROSE = (PARAMS.min_value[kind] for kind in ("web", "prose"))
TEACHES = {
    "formulas": "# Areas\n\nThe integral of a function is the limit of sums over ever narrower strips.\n\n$$\n\\int_a^b f(x) \\;dx\n$$\n\n"
    "Its value depends on the bounds and not on the name of the variable:\n\n$$\n\\int_a^b f(x) \\;dx = \\int_a^b f(t) \\;dt\n$$\n\n"
    "If the bounds are exchanged, the sign changes, because the strips then have a negative width:\n\n$$\n\\int_b^a f(x) \\;dx = "
    "-\\int_a^b f(x) \\;dx\n$$\n\nFor a power of x it follows that\n\n$$\n\\int_0^1 x^n \\;dx = \\frac{1}{n+1}\n$$\n",
    "glossary": "## Glossary\n\n- **effort**: the force that is applied to a machine\n- **fulcrum**: the point about which a lever "
    "turns\n- **inclined plane**: a flat surface that is higher at one end\n- **lever**: a rigid bar that turns about a fixed point\n"
    "- **load**: the force that a machine has to overcome\n- **mechanical advantage**: the ratio of load to effort\n- **pulley**: a "
    "wheel with a groove, which changes the direction of the force in a rope\n- **torque**: the turning effect of a force about a "
    "point\n- **work**: the product of force and distance, measured in joules\n",
    "table": "| planet | radius in km | moons | days of an orbit |\n|---|---:|---:|---:|\n| Mercury | 2,440 | 0 | 88 |\n| Venus | 6,052 | 0 "
    "| 225 |\n| Earth | 6,371 | 1 | 365 |\n| Mars | 3,390 | 2 | 687 |\n| Jupiter | 69,911 | 95 | 4,331 |\n\nThe radius is the mean of the "
    "radius at the equator and at the poles, since planets that rotate are flattened. The farther a planet is from the Sun, the "
    "longer is its orbit and the lower its speed. This is one of Kepler's laws: the square of the time that a planet needs for one "
    "orbit is proportional to the cube of its mean distance. The four planets listed first consist of rock and metal, whereas the "
    "last one is made mostly of gas, which is why it is so much larger although its density is low.\n",
    "tutorial": "How to measure the height of a tree\n\nYou don't need to climb it. First, put a stick of one metre upright into the "
    "ground and measure its shadow. Then measure the shadow of the tree. Since the sun's rays are parallel, both triangles "
    "have the same shape, so the height of the tree is its shadow divided by that of the stick. If the ground slopes, measure "
    "along the slope for both, because the angle between the ground and the rays is then the same for the tree and for the stick. "
    "Repeat the measurement an hour later: if the two results differ by more than a few centimetres, one of the shadows was too "
    "short to be measured well. The method was known to the Greeks, who are said to have found the height of a pyramid with it.\n",
    "encyclopedia": "The Amazon is a river in South America. It carries more water than any other river, because its basin, which "
    "covers about seven million square kilometres, lies in a region of heavy rain. Its sources are in the Andes, and it flows "
    "eastwards to the Atlantic. The river is home to many species, among them the pink river dolphin.\n\nThe level of the water "
    "changes with the seasons by ten metres or more, since the rains fall at different times north and south of the equator. When "
    "it rises, the forest along the banks is flooded for several months, and fish feed on the fruits that drop from the trees. "
    "The mud that the river carries comes mainly from the mountains; where it meets the dark water of a tributary that rises in "
    "the plain, the two flow side by side for some kilometres, because they differ in temperature, speed and density. Before it "
    "was dammed by the rising mountains, the river probably flowed to the west.\n",
    "answer": "Why can't I just use a float for money? Because most decimal fractions have no exact binary form. 0.1 is stored as the "
    "nearest number that has one, and the error shows up once you add many of them. Store whole cents in an integer instead, or "
    "use a decimal type, which keeps the digits as you wrote them. It is slower, but that hardly matters unless you have millions "
    "of amounts. Note that a decimal type does not remove all errors: a third of a cent has no finite decimal form either, so you "
    "still have to decide when to round, and the sum of the rounded parts may differ from the rounded sum.\n",
    "science news": "Ants that live in cities tolerate more heat than their relatives in the forest, biologists report. They raised "
    "colonies from both places in the laboratory for a year, so the difference cannot be explained by acclimatisation alone. It was "
    "already present in the workers' first generation, which suggests that it is inherited. Since cities are two to three degrees "
    "warmer than their surroundings, they may show how insects will respond to climate change.\n",
}
TEACHES_LITTLE = {
    "bug titles": "back button goes to the wrong page.\nmail folder is shown twice.\nlet me turn off the beep.\nfonts look ugly on my "
    "screen.\ncrashes when the disk is full.\nold cookies are not deleted.\nsearch box too short.\ntabs disappear after an update.\n"
    "print preview is blank in landscape.\ncursor jumps to the end when I paste.\nbookmarks menu does not scroll.\nno icon on the "
    "desktop.\nright click crashes.\npassword dialog opens behind the window.\nundo does nothing.\n",
    "dialogue": "Zoe: Hey! Where have you been?\nAlan: Nowhere. Why?\nZoe: I've been calling you all night, you jerk!\nAlan: My phone "
    "died, okay? Don't yell at me.\nZoe: Yeah, right. Whatever.\nAlan: I swear! Ask your sister!\n",
    "review": "I got this for my son's birthday and we are so disappointed. It broke after two days and they won't give me my money "
    "back. Don't buy it! My neighbour got a cheaper one and hers is awesome. One star, and that's being nice.\n",
    "begging letter": "Dear friend, I am Mrs. Ruth Adeyemi, a widow in a private hospital in Accra. My late husband left 9.4 million "
    "dollars in a bank, and I need an honest person who will use this money for the work of God. Twenty per cent of it will be yours. "
    "Please keep this to yourself and reply to me urgently.\n",
    "menu": "Home\nMy account\nShop now\nSign in\nHelp\nContact\nFollow us on Instagram\nGet our newsletter\nCopyright 2015 Acme. All "
    "rights reserved.\nPrivacy\nTerms\nAccept all cookies\n",
}

NOT_WORTH_READING = {
    "chair": "Sit back in this soft leather recliner and let your worries melt away. Choose from five colors to match your living room. "
    "Each chair ships free and comes with a two-year guarantee. Order yours today!\n",
    "house": "This charming three-bedroom house has a spacious lounge, a modern kitchen and a lovely garden with a pool. It is close to "
    "schools and shops, and the beach is only five minutes away. Call us to arrange a viewing.\n",
    "press release": 'DENVER - Corvane Energy has appointed Dana Whitlock as chief operating officer, effective July 1. "Dana brings two '
    'decades of leadership to our team, and we are excited to welcome her," said founder Luis Ortega. Corvane provides storage '
    "solutions to utilities in eleven states and was named one of the fastest-growing firms of the region.\n",
    "event": "The annual harvest fair returns to Mill Park on Saturday, October 12, from 10 am to 6 pm. Enjoy live music, pony rides and "
    "food from local vendors. Tickets are $8 at the gate, kids under six get in free. Volunteers are still needed; please call Anne "
    "at the chamber of commerce. Rain date is October 13.\n",
    "service": "Our plumbers have been serving families in the valley for more than thirty years. Whether it is a leaking tap or a "
    "complete new bathroom, we treat your home as if it were ours. Fully licensed and insured, fair prices, no hidden fees. Ask about "
    "our maintenance plan and save 10% on your first visit.\n",
    "links": "Flu shots: what parents should know\nMayor apologizes for remark\nTen recipes for a rainy weekend\nRead more\nHow the Hawks "
    "blew a nine-point lead\nPhotos: street fair in the old town\nTags: health, city hall, food, sports\nPosted by Ellen on May 3\n",
    "diary": "Sorry I have been so quiet lately. We finally moved into the new place and I still can't find my favorite mug, ha. Sam "
    "painted the hallway yesterday and it looks amazing, pictures soon! Tomorrow my sister comes over with the twins, and I haven't "
    "even baked anything. Wish me luck, you guys.\n",
    "thread": "Anyone else having trouble with the new update? My screen stays black after I log in. I tried everything. Thanks in "
    "advance.\nSame here.\nBump, no one?\nNever mind, I just went back to the old one. Mods can close this.\n",
    "terms": "By placing an order you accept these terms. Prices include VAT but not delivery. You may cancel within 14 days; refunds "
    "are made to the card that you used. We are not liable for delays that are beyond our control. Your data are handled as "
    "described in our privacy policy.\n",
    "filler": "Finding the best sofa can be a challenge, but do not worry, we have got you covered! There are so many options on the "
    "market today, and every home is different. In this post we share some amazing tips that will help you choose a sofa that fits "
    "your needs and budget. A good sofa will make your living room look beautiful.\n",
}
STORIES = (
    '"Oh, do be quiet, Bertie!" said Nora. "If she wakes, she\'ll send us both to bed." They crept past the door on their toes. The '
    'old lady sighed in her sleep, and the parrot opened one eye. "Thieves!" said the parrot. Bertie began to laugh, and then there '
    "was nothing for it but to run.\n",
    "There was once a woodcutter who found a bear caught in a trap. 'Set me free,' said the bear, 'and I will not eat you.' 'And what "
    "of tomorrow?' asked the man. 'Tomorrow I shall be hungry again,' said the bear, who was honest. So the woodcutter went home to "
    "fetch his wife, who was wiser than he.\n",
)


@pytest.fixture(scope="module")
def learned() -> tuple[Classifier, Report]:
    shown = references(1)
    return fit(shown.texts, [REFERENCE] * len(shown.texts), shown.values, 1, PARAMS, judged=["web", "prose"])


@pytest.mark.parametrize("name", TEACHES)
def test_what_teaches_stays_whatever_its_form(learned: tuple[Classifier, Report], name: str) -> None:
    assert learned[0].score([TEACHES[name]], ["web"])[0] > WEB


@pytest.mark.parametrize("name", TEACHES_LITTLE)
def test_what_teaches_little_goes(learned: tuple[Classifier, Report], name: str) -> None:
    assert learned[0].score([TEACHES_LITTLE[name]], ["prose"])[0] < PROSE


@pytest.mark.parametrize("name", NOT_WORTH_READING)
def test_pages_that_sell_announce_or_chat_go(learned: tuple[Classifier, Report], name: str) -> None:
    assert learned[0].score([NOT_WORTH_READING[name]], ["web"])[0] < WEB - 0.25


@pytest.mark.parametrize("text", STORIES)
def test_stories_stay_as_prose(learned: tuple[Classifier, Report], text: str) -> None:
    assert learned[0].score([text], ["prose"])[0] >= PROSE


def test_the_references_tell_more_than_the_length_of_a_text(learned: tuple[Classifier, Report]) -> None:
    for kind in ("web", "prose"):
        of = learned[1].kinds[kind]
        assert of.references
        assert of.own_model
        assert of.auc > 0.98 > 0.85 > max(of.auc_length, of.auc_word_length)
        assert learned[1].unreliable([kind], PARAMS) == {}


@pytest.mark.parametrize("name", TEACHES)
def test_the_menus_around_a_page_decide_nothing(learned: tuple[Classifier, Report], name: str) -> None:
    menu = "Home\nMy account\nShop now\nSign in\nTags: food, sports, city hall\n"
    bare, framed, alone = learned[0].score([TEACHES[name], f"{menu}{TEACHES[name]}\n{menu}", menu], ["web"] * 3)
    assert framed == bare
    assert alone < WEB


@pytest.mark.parametrize(
    ("page", "left"),
    [
        ("Home\nA line of six words stays.\nTags: a, b", "A line of six words stays."),
        ("Code\n```\nx = 1\n```\nShop", "```\nx = 1\n```"),
        ("Home\nShop now", "Home\nShop now"),
        ("", ""),
    ],
)
def test_running_text_is_lines_of_six_words_and_code(page: str, left: str) -> None:
    assert running_text(page) == left


def test_the_shape_of_a_text_decides_nothing(learned: tuple[Classifier, Report]) -> None:
    """A text and the same text thrice, or with each blank doubled, have the same words and pairs but for the seams."""
    for text in TEACHES.values():
        one, thrice, wide = learned[0].score([text, text * 3, text.replace(" ", "  ")], ["web"] * 3)
        assert abs(thrice - one) < 0.2
        assert wide == one


@pytest.mark.parametrize("make", [generated, explained])
def test_generated_texts_follow_from_the_seed_and_differ(make: Callable[[int, int], list[str]]) -> None:
    one, same, other = make(200, 1), make(200, 1), make(200, 2)
    assert one == same
    assert len(set(one) | set(other)) > 395
    assert not any("{" in text or "}" in text for text in one)
    assert all(text.strip() for text in one)


def test_what_the_user_names_joins_the_references() -> None:
    """A recipe in a made-up vocabulary is neither good nor bad until somebody says so."""
    draw = random.Random(1)
    words = ["".join(draw.choices("bdfgklmnprst", k=2)) + draw.choice("aeiou") + draw.choice("lnrs") for _ in range(60)]
    texts = [" ".join(draw.choices(words, k=80)) for _ in range(80)]
    values = []
    for named in ({}, {"good": texts[:60]}, {"bad": texts[:60]}):
        shown = references(1, **named)
        assert shown.values.count(GOOD_VALUE) == 2 * len(good_texts()) + len(named.get("good", []))
        assert shown.values.count(BAD_VALUE) >= len(named.get("bad", []))
        classifier, _ = fit(shown.texts, [REFERENCE] * len(shown.texts), shown.values, 1, PARAMS)
        values.append(classifier.score(texts[60:], ["prose"] * 20).mean())
    plain, praised, blamed = values
    assert blamed + 1 < plain < praised - 1


def told(**found: object) -> dict[str, object]:
    """What was learned of web pages, with 100 held-out labels of which 40 are below the threshold."""
    of = {"threshold": 2.5, "below": 40, "documents": 100, "auc": 0.95, "auc_length": 0.6, "auc_word_length": 0.7}
    kinds = {"web": of | {name: found.pop(name) for name in [*found] if name in of}}
    return {"thresholds": {"web": 2.5}, "skipped": {}, "follows_length": {"web": 0.1}, "kinds": kinds} | found


@pytest.mark.parametrize(
    ("learned", "valued", "said"),
    [
        ({}, (1000, 0, 0), "web: all 1,000 documents are kept, since none is below 2.5"),
        ({}, (1000, 250, 0), "web: 250 of 1,000 documents (25.0%) are below 2.5"),
        ({"thresholds": {"web": 2.25}}, (1000, 500, 0), "are below 2.25, lowered from 2.85 so that at most 90% go"),
        ({"follows_length": {"web": -0.9}}, (9, 0, 0), "web: the value orders the documents much as their length does"),
        ({}, (1000, 0, 7), "web: not judged, because not in English: 7"),
    ],
)
def test_the_report_says_what_the_values_do(learned: dict, valued: tuple[int, int, int], said: str) -> None:
    counts = dict(zip(("scored", "below", "unscored"), valued, strict=True))
    assert any(said in line for line in remarks(told(**learned), {"web": counts}, PARAMS))
    assert doubts(told(**learned), {"web": counts}) == []


@pytest.mark.parametrize(
    ("learned", "said"),
    [
        ({"auc_length": 0.93}, "no better than the length of a document (AUC 0.95 on 100 held-out documents, 0.93 by"),
        ({"auc_word_length": 0.99}, "no better than the mean word length of a document (AUC 0.95"),
        (
            {"below": 3, "auc": None},
            "are not checked, since 3 of 100 held-out labels are below the threshold, and 5 are",
        ),
        ({"below": 98}, "are not checked, since 2 of 100 held-out labels are at or above the threshold, and 5 are"),
    ],
)
def test_the_report_says_what_is_doubtful(learned: dict, said: str) -> None:
    (line,) = doubts(told(**learned), {"web": {"scored": 9, "below": 0, "unscored": 0}})
    assert line.startswith("web: ")
    assert said in line


def test_a_kind_that_is_not_filtered_needs_no_remark() -> None:
    learned = told(skipped={"web": "0 held-out documents"}, below=0)
    valued = {"web": {"scored": 0, "below": 0, "unscored": 9}}
    assert remarks(learned, valued, PARAMS) == doubts(learned, valued) == []


def test_values_are_finite_for_odd_texts(learned: tuple[Classifier, Report]) -> None:
    assert np.isfinite(learned[0].score(["", " ", "\ud800", "字" * 3000], ["web"] * 4)).all()
