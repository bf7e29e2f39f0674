"""The panel: launch, watch and compare runs. It reads through the tools' own clients and keeps nothing itself.

A page is a file in `ui/views/` with a line in `ui/app.py`; its whole state is in its address, so that every view has a link.
What pages share:

- `ui.text`: `text.plain(x)` shows any text from outside in Streamlit's Markdown (messages, captions, labels), `text.html(x)`
  in HTML; both escape controls, bidi marks and markup and cut long text. `number`, `big`, `duration`, `ago`, `clock`, `left`.
- `ui.reads`: every read of Prefect, MLflow and the files, with short caches and time-outs of three seconds. A service that
  does not answer raises `Unavailable`, is asked again in the background, and fails immediately meanwhile.
- `ui.banner`: `banner.draw()` is called once, by `ui/app.py`; a page reads within `with banner.shielded():`, which leaves out
  what cannot be read and shows refusals (`StepError`) as text.
- `ui.acts`: everything that a person does: `acts.launch`, `acts.cancel`, ...; `acts.refusal()` says why this person may not.
  `acts.record(what, of)` writes who did what and when into `.phiforge/acts.jsonl`.
- `ui.fields`: `fields.draw(field, value, ...)` is the widget of one parameter; it reports only what a person has changed.
- `ui.forms`: the parameters as data, links, and the check.
- `ui.parts`: pieces of pages in HTML: `heading`, `label`, `empty`, `badge`, `facts`, `table`, `stage_list`, `log_block`.
- `ui.theme`: the style sheet (`ui/assets/style.css`) and the colours of charts and states, for light and dark.
- `ui.charts`: Plotly figures; show them with `charts.show(figure, key)`.
"""
