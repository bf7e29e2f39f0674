"""Numbers, formulas, code and structure of web pages, which both extractors must give alike."""

import pytest

from components.ingestion.parsing import pages
from components.ingestion.parsing.structure import MOST_ROWS

OPENING = (
    "The old bridge over the river was built of stone, and the people of the village, who had paid for it, crossed it "
    "every day on the way to their fields and to the market."
)
CLOSING = (
    "In the spring of the next year the water rose, and the bridge, which had been repaired, held as it always had."
)
BOTH = pytest.mark.parametrize("extractor", ["fast", "careful"])


def found(body: str, extractor: str, markdown: bool = True) -> str:
    """What an extractor gives of a part of a page, between two paragraphs that it takes for main text."""
    html = f"<html><body><main><p>{OPENING}</p><p>{CLOSING}</p>{body}<p>{OPENING[::-1]}.</p><p>{CLOSING}</p></main></body></html>"
    text = pages.parse(html, markdown=markdown, extractor=extractor)["text"]
    before, after = f"{OPENING}\n\n{CLOSING}", f"{OPENING[::-1]}."
    assert text.startswith(before)
    assert after in text
    return text[len(before) : text.index(after)].strip("\n")


INLINE = {
    "10<sup>23</sup> stars": "10^23 stars",
    "10<sup>-3</sup> m": "10^-3 m",
    "10<sup>\u22123</sup> m": "10^\u22123 m",
    "6&middot;10<sup>23</sup>": "6·10^23",
    "x<sup>2</sup>+y<sup>2</sup>": "x^2+y^2",
    "<i>x</i><sup>2</sup>": "x^2",
    "e<sup>x</sup>, 2<sup>n</sup>": "e^x, 2^n",
    "x<sup>n+1</sup>": "x^{n+1}",
    "2<sup>3<sup>4</sup></sup>": "2^{3^4}",
    "2<sup>10</sup>5": "2^{10}5",
    "<sup>14</sup>C": "^{14}C",
    "the 5<sup>th</sup>, 1<sup>st</sup>, XX<sup>e</sup>": "the 5th, 1st, XXe",
    "Bridge<sup>TM</sup>": "BridgeTM",
    'in 1990<sup><a href="#n3">3</a></sup>': "in 1990[3]",
    'bridge<sup><a href="#n1">[1]</a></sup>': "bridge[1]",
    "H<sub>2</sub>O, CO<sub>2</sub>, Ca(OH)<sub>2</sub>": "H2O, CO2, Ca(OH)2",
    "x<sub>1</sub>, a<sub>1</sub>2, log<sub>10</sub>100": "x_1, a_{1}2, log_{10}100",
    "1010<sub>2</sub> = 10": "1010_2 = 10",
    "v<sub>max</sub>": "v_{max}",
    "<sup>1</sup>/<sub>2</sub> cup": "1/2 cup",
    "1<sup>3</sup>&frasl;<sub>4</sub> cups": "1 3/4 cups",
    "<del>$100</del> <ins>$80</ins>": "$80",
    "<s>1 May</s> 2 May": "2 May",
    "on <time>5 May</time> they came": "on 5 May they came",
    "<q>yes</q> they said": '"yes" they said',
    "<ruby>漢字<rt>かんじ</rt></ruby> and <ruby>東<rp>(</rp><rt>とう</rt><rp>)</rp></ruby>": "漢字(かんじ) and 東(とう)",
    "<b>€</b>5 or <i>東</i>京<b>都</b>": "€5 or 東京都",
    "Do&shy;nau&#8203;schiff&#xFEFF;": "Donauschiff",
    "call <code>f(x)</code> twice": "call `f(x)` twice",
    "area <math alttext='x^2'><msup><mi>x</mi><mn>2</mn></msup></math>": "area $x^2$",
    "area <math><semantics><msup><mi>x</mi><mn>2</mn></msup><annotation encoding='application/x-tex'>x^2</annotation>"
    "</semantics></math>": "area $x^2$",
    "area <math alttext='{\\displaystyle x^2}'><mi>x</mi></math>": "area $x^2$",
    "area <span class=katex><span class=katex-mathml><math><semantics><mi>x</mi><annotation encoding=application/x-tex>x^2"
    "</annotation></semantics></math></span><span class=katex-html aria-hidden=true>x2</span></span>": "area $x^2$",
    "area <span class=MathJax_Preview>x2</span><span class=MathJax><nobr>x2</nobr></span>"
    "<script type='math/tex'>x^2</script>": "area $x^2$",
    "area <img class='latex' alt='x^2' src=a.png>": "area $x^2$",
    "area <span class=mwe-math-element><math alttext='x^2'><mi>x</mi></math>"
    "<img class='mwe-math-fallback-image-inline' alt='x^2'></span>": "area $x^2$",
    "a bridge <img alt='at night' src=a.jpg> there": "a bridge there",
}


@BOTH
@pytest.mark.parametrize("html", INLINE)
def test_numbers_and_formulas_keep_their_value(html: str, extractor: str) -> None:
    assert found(f"<p>They wrote {html} in the book.</p>", extractor) == f"They wrote {INLINE[html]} in the book."


@BOTH
def test_a_formula_without_tex_is_left_out_and_counted(extractor: str) -> None:
    formula = "<math><mi>E</mi><mo>=</mo><mfrac><mn>1</mn><mn>2</mn></mfrac><mi>m</mi></math>"
    html = f"<main><p>{OPENING}</p><p>Energy is {formula} and {formula} in joules.</p><p>{CLOSING}</p></main>"
    page = pages.parse(html, extractor=extractor)
    assert "12" not in page["text"]
    assert page["formulas_left_out"] == 2


CODE = "def f(x):\n    if x:\n        return x\n\n    return 0"
_NUMBERED = "".join(
    f"<tr><td class=hljs-ln-numbers data-line-number={i}>{i}</td><td>{line}</td></tr>"
    for i, line in enumerate(CODE.split("\n"), 1)
)
BLOCKS = {
    f"<pre>{CODE}</pre>": f"```\n{CODE}\n```",
    f"<pre><code class=language-python>{CODE}\n</code></pre>": f"```python\n{CODE}\n```",
    f"<div class='highlight highlight-source-js'><pre>{CODE}</pre></div>": f"```js\n{CODE}\n```",
    f"<figure class=highlight><pre>{CODE}</pre></figure>": f"```\n{CODE}\n```",
    "<pre>" + "<br>".join(CODE.split("\n")) + "</pre>": f"```\n{CODE}\n```",
    "<pre class=shiki><code>"
    + "\n".join(f"<span class=line>{line}</span>" for line in CODE.split("\n"))
    + "</code></pre>": f"```\n{CODE}\n```",
    "<div class=code>"
    + "".join(f"<div class=ln>{line.replace(' ', '&nbsp;')}</div>" for line in CODE.split("\n"))
    + "</div>": f"```\n{CODE}\n```",
    f"<table class=rouge-table><tr><td class='gutter gl'><pre class=lineno>1\n2\n3\n4\n5\n</pre></td><td class=code><pre>{CODE}\n</pre></td></tr></table>": f"```\n{CODE}\n```",
    f"<table>{_NUMBERED}</table>": f"```\n{CODE}\n```",
    "<pre><span class=lineno>1 </span>x = 1\n<span class=lineno>2 </span>y = 2\n</pre>": "```\nx = 1\ny = 2\n```",
    "<pre>x = '```'\ny = 1</pre>": "````\nx = '```'\ny = 1\n````",
    "<pre>The road goes on\nand on to the sea</pre>": "The road goes on\nand on to the sea",
    "<h2>Stones<a class=headerlink href='#s'>¶</a></h2><p>They are heavy, and there are many of them here.</p>": "## Stones\n\nThey are heavy, and there are many of them here.",
    "<ul><li>One stone arch</li><li><p>Two iron beams</p></li></ul>": "- One stone arch\n- Two iron beams",
    "<ol start=3><li>Third it is</li><li>Fourth it is</li></ol>": "3. Third it is\n4. Fourth it is",
    "<ol><li>Compute the sums<ul><li>take the first</li><li>add the second</li></ul></li><li>Write them down</li></ol>": "1. Compute the sums\n  - take the first\n  - add the second\n2. Write them down",
    "<table><tr><th>Year</th><th>Length</th></tr><tr><td>1883</td><td>486 | 5</td></tr></table>": "| Year | Length |\n| --- | --- |\n| 1883 | 486 \\| 5 |",
    "<table><caption>Bridges</caption><tr><td rowspan=2>Stone</td><td>1883</td></tr><tr><td>1937</td></tr>"
    "<tr><td colspan=2>No more</td></tr></table>": "Bridges\n\n| Stone | 1883 |\n| --- | --- |\n| Stone | 1937 |\n| No more | |",
    "<details><summary>More about it</summary><p>It is a long story, which is told elsewhere.</p></details>": "More about it\n\nIt is a long story, which is told elsewhere.",
}


@BOTH
@pytest.mark.parametrize("html", BLOCKS)
def test_structure_becomes_markdown(html: str, extractor: str) -> None:
    assert found(html, extractor) == BLOCKS[html]


@BOTH
@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<h3><code>impl Index for usize</code><div>where<br>T: Clone</div></h3>", "### `impl Index for usize` where T: Clone"),
        ("<h2>usize<section>where</section></h2>", "## usize where"),
        ("<h2><a href='x'><div>a</div><div>b</div></a></h2>", "## a b"),
        ("<h2>One<br>Two</h2>", "## One Two"),
        ("<h2><dl><dt>a</dt><dd>b</dd></dl></h2>", "## a b"),
        ("<h2>One<span>Two</span></h2>", "## OneTwo"),  # as it is seen
        ("<table><tr><th>k<br>v</th><th>b</th></tr><tr><td><div>1</div><div>2</div></td><td>x<p>y</p></td></tr></table>",
         "| k v | b |\n| --- | --- |\n| 1 2 | x y |"),
    ],
)  # fmt: skip
def test_blocks_on_one_line_are_not_glued(html: str, text: str, extractor: str) -> None:
    assert found(html, extractor) == text


@BOTH
def test_a_heading_that_is_never_closed_keeps_the_paragraphs_below_it(extractor: str) -> None:
    story = [f"Sentence number {n} of the story is long enough to be one of its paragraphs." for n in range(20)]
    paragraphs = "".join(f"<p>{sentence}</p>" for sentence in story)
    assert set(story) <= set(found(f"<h2>Title<div>{paragraphs}</div>", extractor).split("\n"))


@BOTH
def test_plain_text_has_the_same_lines_without_marks(extractor: str) -> None:
    body = (
        f"<h2>Stones</h2><ul><li>One <code>arch</code></li></ul><pre>{CODE}</pre>"
        "<table><tr><th>Year</th><th>Length</th></tr><tr><td>1883</td><td>486</td></tr></table>"
    )
    assert found(body, extractor, markdown=False) == f"Stones\n\nOne arch\n\n{CODE}\n\nYear  Length\n1883  486"


@BOTH
def test_a_table_that_lays_out_the_page_is_not_a_table(extractor: str) -> None:
    html = f"<table><tr><td><a href=/>Home</a></td><td><h1>Gears</h1><p>{OPENING}</p><p>{CLOSING}</p></td></tr></table>"
    text = pages.parse(html, markdown=True, extractor=extractor)["text"]
    assert OPENING in text
    assert "|" not in text


@BOTH
def test_marks_are_letters_that_the_page_does_not_have(extractor: str) -> None:
    letters = "".join(map(chr, range(0x10600, 0x10610)))
    assert found(f"<ul><li>{letters}</li></ul>", extractor) == f"- {letters}"


@pytest.mark.parametrize(
    "body",
    [
        "<p>" + "x<sup>2</sup> " * 20_000 + "</p>",
        "<ol>" + "<li>one" * 50_000 + "</ol>",
        "<ul><li>" * 200 + "deep",
        "<table>" + "<tr><td>1<td>2" * (MOST_ROWS + 1) + "</table>",
        "<table><tr><td rowspan=99999999 colspan=99999999>1<td>2<tr><td>3</table>",
        "<pre>" + "<span class=line>x</span>" * 20_000 + "</pre>",
    ],
    ids=lambda body: body[:24],
)
def test_many_elements_take_no_time_that_grows_with_their_square(body: str) -> None:
    import time

    started = time.process_time()
    pages.parse(f"<main><p>{OPENING}</p>{body}</main>", markdown=True, extractor="fast")
    assert time.process_time() - started < 5
