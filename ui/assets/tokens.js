// An answer whose tokens show their probability; a token's alternatives continue the answer from there.
// All text from a model is set as text, never as HTML.
export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".root")
  const visible = (text) => text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ | $/g, "␣") || "(no text)"
  const percent = (p) => (p >= 0.0995 ? Math.round(100 * p) : (100 * p).toPrecision(2)) + "%"
  const text = document.createElement("div"), about = document.createElement("div")
  text.className = "text"
  text.setAttribute("role", "group")
  text.setAttribute("aria-label", data.label)
  about.className = "about"
  about.setAttribute("aria-live", "polite")
  let pinned = false
  const buttons = data.tokens.map((token, place) => {
    const button = document.createElement("span") // a button would be a box of its own, and break lines around it
    button.setAttribute("role", "button")
    button.textContent = token.text
    button.tabIndex = place ? -1 : 0
    button.className = token.seen ? "seen" : ""
    button.style.backgroundColor = `color-mix(in srgb, #d9722e ${Math.round(38 * (1 - token.p))}%, transparent)`
    const show = () => explain(place)
    button.onmouseenter = () => pinned || show()
    button.onfocus = show
    button.onclick = () => { pinned = !pinned || !button.classList.contains("shown"); show() }
    button.onkeydown = (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); button.click() }
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
      if (step && buttons[place + step]) { event.preventDefault(); buttons[place + step].focus() }
    }
    text.append(button)
    return button
  })
  const said = (words) => { const span = document.createElement("span"); span.textContent = words; about.append(span) }
  const explain = (place) => {
    buttons.forEach((other, number) => other.classList.toggle("shown", number === place))
    about.replaceChildren()
    said(`${visible(data.tokens[place].text)} had ${percent(data.tokens[place].p)}. ${data.may_change ? "Go on from here with" : "Likeliest"}:`)
    for (const [other, p] of data.tokens[place].likeliest) {
      const button = document.createElement("button"), small = document.createElement("small")
      button.type = "button"
      button.textContent = visible(other)
      small.textContent = percent(p)
      button.append(small)
      button.disabled = !data.may_change || !other
      button.onclick = () => setTriggerValue("picked", { place, text: other })
      about.append(button)
    }
  }
  said("Point at a token, or click it, to see what else the model thought of.")
  root.replaceChildren(text, about)
}
