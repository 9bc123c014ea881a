"""The header: which stack looks at the clip, on what, and the menu of others. Plain HTML; every string is escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence

from workbench.ui.stacks import Choice, Option

# The menu is a <details>, so that it opens without asking anybody; a choice closes it.
HEADER_JS = """
element.addEventListener('click', (event) => {
  if (event.target.closest('[data-theme-toggle]')) { window.aw.toggleTheme(); return; }
  const option = event.target.closest('button[data-profile]');
  if (!option) return;
  option.closest('details').open = false;
  trigger('choose', { profile: option.dataset.profile, adapter: option.dataset.adapter });
});
const shut = (event) => {
  const menu = element.querySelector('details[open]'), outside = event.type === 'pointerdown';
  if (menu && (outside ? !menu.contains(event.target) : event.key === 'Escape')) menu.open = false;
};
document.addEventListener('pointerdown', shut);
document.addEventListener('keydown', shut);
"""


def header_html(stack_line: str, note: str, menu: str = "") -> str:
    """Product name, stack and device with the menu of others, and the one honest line about the stack."""
    line = html.escape(stack_line)
    stack = f'<span class="aw-stack">{line}</span>'
    if menu:
        stack = (
            f'<details class="aw-stack"><summary title="Choose another model stack">{line}</summary>{menu}</details>'
        )
    return (
        f'<header class="aw-header" role="banner"><h1>Anomaly Workbench</h1>{stack}'
        f'<span class="aw-honest" title="{html.escape(note)}">{html.escape(note)}</span>'
        '<button type="button" data-theme-toggle aria-label="Dark or light">◐</button></header>'
    )


def menu_html(options: Sequence[Option], current: Choice) -> str:
    """The stacks to choose from; one that is not on this machine says how to get it, and cannot be pressed."""
    lines = "".join(_option_html(option, option.choice == current) for option in options)
    return (
        '<div class="aw-stack-menu" role="group" aria-label="Model stacks"><p>Another stack looks at the same clip '
        f"anew; what people corrected stays.</p>{lines}</div>"
    )


def _option_html(option: Option, is_current: bool) -> str:
    kind = "is-adapter" if option.choice.adapter else "is-profile"
    title, note = html.escape(option.title), html.escape(option.note)
    if option.lacking:
        why, _, command = option.lacking.partition(": python ")
        how = f" <code>python {html.escape(command)}</code>" if command else ""
        return f'<div class="{kind} is-lacking"><b>{title}</b><small>{html.escape(why)}{how}</small></div>'
    profile, adapter = html.escape(option.choice.profile), html.escape(option.choice.adapter or "")
    state = ' aria-current="true"' if is_current else ""
    return (
        f'<button type="button" class="{kind}" data-profile="{profile}" data-adapter="{adapter}"{state}>'
        f"<b>{title}</b><small>{note}</small></button>"
    )
