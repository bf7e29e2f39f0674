"""A check that holds the answer proves nothing, and neither does a question that holds it."""

import pytest

from components.synthesis.exercises import Exercise, verify

PRODUCT = "A store holds 4871 boxes of 17497 coins. How many coins are there?"
COINS = "85227887"
WORDS = "Which city is the capital of France, a country of Europe?"
REPEATED = "does not depend on the values of the question"
LITERAL = "holds the answer as a literal"
PIECES = "holds the answer in pieces"
HELD = "the question holds the answer"


@pytest.mark.parametrize(
    ("question", "answer", "code", "expression", "fault"),
    [
        # The check holds the answer, in one dress or another.
        (PRODUCT, COINS, "", f'int("{COINS}")', LITERAL),
        (PRODUCT, COINS, "", f"str({COINS})", LITERAL),
        (PRODUCT, COINS, f"x = {COINS}", "x + 0", LITERAL),
        (PRODUCT, COINS, "", f"{COINS} + 4871 - 4871", LITERAL),
        (PRODUCT, COINS, "", hex(int(COINS)) + " * 1", LITERAL),
        (PRODUCT, COINS, "", f"--{COINS} * 1", LITERAL),
        (PRODUCT, COINS, "", f"round({COINS}.0)", LITERAL),
        (PRODUCT, COINS, "", f'{{"coins": {COINS}}}["coins"]', LITERAL),
        (PRODUCT, COINS, "", f'int("{COINS}".strip())', LITERAL),
        (PRODUCT, COINS, "", f'int("{int(COINS):x}", 16)', REPEATED),
        (PRODUCT, COINS, "", 'int("852" + "27887")', REPEATED),
        (PRODUCT, COINS, "", f'int("{COINS[::-1]}"[::-1])', REPEATED),
        (PRODUCT, COINS, "", 'int("".join(["8", "5", "2", "2", "7", "8", "8", "7"]))', REPEATED),
        (PRODUCT, COINS, "", f'int("".join(map(chr, {[ord(c) for c in COINS]})))', REPEATED),
        (PRODUCT, COINS, "", "85227000 + 887", REPEATED),
        (PRODUCT, COINS, "", "85227886 + 17497 // 17497", REPEATED),
        (PRODUCT, COINS, "", "4871 - 4871 + 85227000 + 887", REPEATED),
        (PRODUCT, COINS, "", "4871 + 85223016", REPEATED),
        (PRODUCT, COINS, "", '{4871: "85227" + "887"}[4871]', REPEATED),
        (PRODUCT, COINS, "def f(a, b):\n    return 85227000 + 887", "f(4871, 17497)", REPEATED),
        (PRODUCT, COINS, "def f(a, b):\n    return 85227000 + 887 if a * b else 0", "f(4871, 17497)", REPEATED),
        (PRODUCT, COINS, "", "sum([85227000, 887])", REPEATED),
        ("How many are six times seven?", "42", "", "42 * 1", REPEATED),
        ("How many are six times seven?", "42", "", "40 + 2", REPEATED),
        ("How many are 6 times 7?", "42", "", "42 + 6 - 6", REPEATED),
        ("What is the atomic number of iron?", "26", "", "20 + 6", REPEATED),
        (WORDS, "Paris", "", '"Par" + "is"', PIECES),
        (WORDS, "Paris", "", '"Par" + "is" if "France" else ""', PIECES),
        (WORDS, "Paris", "", '"".join(["P", "a", "r", "i", "s"])', PIECES),
        (WORDS, "Paris", "", '"Paris".strip()', REPEATED),
        (WORDS, "Paris", "", '"siraP"[::-1]', REPEATED),
        (WORDS, "Paris", "", '{"France": "Paris", "Italy": "Rome"}["France"]', REPEATED),
        (WORDS, "Paris", 'x = "Paris"', 'x if "France" == "France" else ""', REPEATED),
        ("How much is that in all?", "1e999", "", "10.0 ** 64 * " * 5 + "1.0", REPEATED),
        # The question holds the answer.
        (f"{PRODUCT} The answer is {COINS}.", COINS, "", "4871 * 17497", HELD),
        (f"{PRODUCT} ({COINS})", COINS, "", "4871 * 17497", HELD),
        (f"{PRODUCT} It is 85,227,887.", COINS, "", "4871 * 17497", HELD),
        (f"{PRODUCT} It is {COINS}.", COINS, "", f"{COINS} + 0", REPEATED),
        ("What is 3 * 4, which is twelve?", "12", "", "3 * 4", HELD),
        ("What is 3 * 4? Answer: 12", "12", "", "3 * 4", HELD),
        ("What is 3 * 4 = 12?", "12", "", "3 * 4", HELD),
        ("What is 4 - 2? Hint: 2.", "2", "", "4 - 3 + 1", HELD),
        ("What is 'ab' in capitals, that is ABAB twice? The answer is ABAB.", "ABAB", "", "'ab'.upper() * 2", HELD),
        # Honest checks, also those whose answer is one of their own values.
        (PRODUCT, COINS, "", "4871 * 17497", ""),
        (PRODUCT, COINS, "boxes = 4871\ncoins = 17497", "boxes * coins", ""),
        (PRODUCT, COINS, "def f(a, b):\n    return a * b", "f(4871, 17497)", ""),
        ("What is 2 times 1?", "2", "", "2 * 1", ""),
        ("What is 57 + 0?", "57", "", "57 + 0", ""),
        ("What is twelve times one?", "12", "", "12 * 1", ""),
        ("What is the difference of 8 and 5?", "3", "", "8 - 5", ""),
        ("Which is larger, 48213 or 48231?", "48231", "", "max(48213, 48231)", ""),
        ("What is the average of 10, 12 and 14?", "12", "", "(10 + 12 + 14) / 3", ""),
        ("What is the remainder of 13 divided by 20?", "13", "", "13 % 20", ""),
        ("What is the absolute value of -57?", "57", "", "abs(-57)", ""),
        ("What is the sum of the whole numbers from one to ten?", "55", "", "sum(range(1, 11))", ""),
        ("What is the largest whole number from 1 to 10?", "10", "", "max(range(1, 11))", ""),
        ("What is 20% of 50?", "10.0", "", "50 * 0.2", ""),
        ("What does a coat of 250 euro cost with 10% off?", "225.0", "", "250 * 0.9", ""),
        ("What is the circumference of a circle of radius 5, and not of 7?", "31.4159", "", "2 * 3.14159 * 5", ""),
        ("Write 255 in base 16.", "0xff", "", "hex(255)", ""),
        ("How many minutes are in two hours?", "120", "", "2 * 60", ""),
        ("How many seconds are in three days?", "259200", "", "3 * 86400", ""),
        ("What is three hundred and twenty-five plus twelve?", "337", "", "325 + 12", ""),
        ("Is 14 even or odd?", "even", "", '"even" if 14 % 2 == 0 else "odd"', ""),
        ("Is 97 prime? Answer yes or no.", "yes", "", '"yes" if all(97 % d for d in range(2, 97)) else "no"', ""),
        ("True or False: 17 is greater than 5.", "True", "", "17 > 5", ""),
        ("If today is Wednesday, which day is it in 10 days?", "Saturday",
         'days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]',
         'days[(days.index("Wednesday") + 10) % 7]', ""),
        ("How many times is the letter r in 'strawberry'?", "3", "", "'strawberry'.count('r')", ""),
        ("Which word is longest: apple, pear or banana?", "banana", "", 'max("apple pear banana".split(), key=len)', ""),
        ("What do 'rain' and 'bow' make together?", "rainbow", "", "'rain' + 'bow'", ""),
        ("What is the plural of 'cat'?", "cats", "", "'cat' + 's'", ""),
        ("How many items does the list [1, 2, 3] have?", "3", "", "len([1, 2, 3])", ""),
        ("Which is the last element of [13, 15, 19]?", "19", "", "[13, 15, 19][-1]", ""),
        ('What does int("42") return?', "42", "", "int('42')", ""),
        ("Does 'abc' == 'abc' hold in Python?", "True", "", "'abc' == 'abc'", ""),
        ("What does double(4) return, if double gives twice its value?", "8", "def double(n):\n    return 2 * n",
         "double(4)", ""),
    ],
)  # fmt: skip
def test_a_check_follows_from_its_question(programs, question, answer, code, expression, fault) -> None:
    ((found, _),) = verify([Exercise(question, answer, code, expression)], programs)
    assert fault in found if fault else not found, found
