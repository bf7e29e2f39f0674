"""The widget of one parameter, which changes no parameter by itself.

A page that is interrupted by the next click may have drawn only a part of its widgets. A value that was put into
`st.session_state` is then lost for the others: the browser shows 0, nothing or an empty text, and sends that back as if a
person had chosen it. So each widget is given its value whenever it is drawn, and sends back the same until a person edits it.
"""

from collections.abc import Callable
from typing import Any

import streamlit as st

from ui import forms

Edit = Callable[[str, Any], None]  # the parameter's key, and its new value or, of a YAML field, its new text


def draw(
    field: forms.Field,
    value: Any,
    default: Any,
    edit: Edit,
    version: int = 0,
    draft: str | None = None,
    label: str = "",
) -> None:
    """The widget of a parameter.

    Args:
        value: what it shows.
        default: of the parameter; an emptied field means it.
        edit: called before the next run of the page if the browser sends another value.
        version: increase it when values change outside of the widgets, so that new widgets show them.
        draft: a YAML text to show instead of the value, because it is not valid yet.
        label: instead of its name.
    """
    key = f"{version}:{field.key}"
    shown = draft if draft is not None else sent(field, value)

    def take() -> None:
        answer = st.session_state.get(key)
        edit(field.key, default if answer is None else answer)

    label = label or field.name.replace("_", " ")
    tip = f"`{field.key}`" + (f": {field.allowed}" if field.allowed else "")
    common: dict[str, Any] = {"key": key, "help": tip, "on_change": take}
    if field.kind == "yaml":
        several = isinstance(default, list | dict)
        (st.text_area if several else st.text_input)(
            f"{label} (YAML)", shown, **common, **({"height": 120} if several else {})
        )
    elif field.kind == "choice":
        st.selectbox(label, field.choices, field.choices.index(shown), **common)
    elif field.kind == "switch":
        st.toggle(label, shown, **common)
    elif field.kind == "text":
        st.text_input(label, shown, **common)
    else:
        whole = field.kind == "integer"
        step = forms.step(default or 0, whole)
        # Without bounds: a browser would drop values outside without a message, but the check explains them.
        st.number_input(
            label, value=shown, step=int(step) if whole else step, format="%d" if whole else "%.12g", **common
        )


def sent(field: forms.Field, value: Any) -> Any:
    """The value as its widget takes it."""
    if field.kind == "yaml":
        return forms.to_yaml(value)
    return float(value) if field.kind == "number" else value
