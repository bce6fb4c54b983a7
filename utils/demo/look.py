"""How the page looks: its theme, and the style of what `cards` writes. No font or script comes from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradio.themes import Base

FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
PAGE_STYLE = f"""
:root, .gradio-container {{ --font: {FONTS}; --body-text-color-subdued: var(--neutral-500); }}
.dark {{ --body-text-color-subdued: var(--neutral-400) !important; }}
.title h1 {{ margin: 0.4rem 0 0.2rem; font-size: 1.7rem; font-weight: 700; letter-spacing: -0.01em; }}
.title p {{ margin: 0; color: var(--body-text-color-subdued); }}
.suggestions {{ flex-wrap: wrap; gap: 0.4rem; }}
.suggestions button {{ flex: 0 1 auto; min-width: 0 !important; padding: 0.3rem 0.8rem; border-radius: 999px; }}
#search {{ align-self: center; max-height: 3rem; }}
@media (max-width: 520px) {{
  .tab-container button {{ padding: 0 0.35rem !important; font-size: 0.82rem !important; }}
}}
"""
# Gradio puts these under the component's own id, so nothing else on the page is touched.
CARD_STYLE = """
p, ol, ul, h3, figure { margin: 0; padding: 0; }
.said { padding: 0.2rem 0 0.8rem; font-size: 1.05rem; font-weight: 600; }
.said.failed { padding: 0.7rem 0.9rem; border-left: 4px solid #D55E00; background: rgba(213, 94, 0, 0.1); }
.basis { padding-bottom: 0.8rem; font-size: 0.85rem; line-height: 1.4; color: var(--body-text-color-subdued); }
.cards, .choices { list-style: none; display: grid; gap: 0.9rem; }
.cards { grid-template-columns: repeat(auto-fill, minmax(min(160px, 44%), 1fr)); }
.choices { grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); gap: 0.5rem; }
.cards > li, .choices > li { min-width: 0; }
.cards > li { border: 1px solid var(--border-color-primary); border-radius: 10px; overflow: hidden;
  padding-bottom: 0.6rem; background: var(--block-background-fill); }
button { display: block; width: 100%; padding: 0; border: 0; background: none; cursor: pointer; }
.choices button { border-radius: 8px; overflow: hidden; }
button:focus-visible { outline: 3px solid #0072B2; outline-offset: -3px; }
button:hover img { filter: brightness(1.08); }
.cards img, .choices img { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; }
.cards li > :not(button, img) { margin: 0 0.7rem; }
.place { display: flex; flex-wrap: wrap; gap: 0 0.5rem; align-items: baseline; padding-top: 0.5rem; }
.place b { font-size: 1.05rem; color: #0072B2; }
.place .score { margin-left: auto; font-size: 0.8rem; font-variant-numeric: tabular-nums;
  color: var(--body-text-color-subdued); }
.caption { padding-top: 0.15rem; font-size: 0.86rem; line-height: 1.35; overflow-wrap: anywhere; }
details { padding-top: 0.25rem; font-size: 0.82rem; color: var(--body-text-color-subdued); }
summary { cursor: pointer; }
details ul { padding-left: 1.1rem; list-style: disc; }
.heat { padding-bottom: 1rem; }
.heat > img { display: block; width: 100%; border-radius: 10px; }
.heat figcaption { display: flex; flex-wrap: wrap; align-items: center; gap: 0.2rem 0.5rem; padding-top: 0.5rem;
  font-size: 0.84rem; color: var(--body-text-color-subdued); }
.heat .scale { flex: 0 0 150px; height: 12px; border-radius: 6px; }
h3 { padding: 0.2rem 0 0.6rem; font-size: 1rem; font-weight: 600; }
"""


def theme() -> Base:
    """Gradio's plain theme in the blue of the course's figures, with the reader's own fonts."""
    import gradio as gr

    return gr.themes.Default(
        primary_hue=gr.themes.colors.sky,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=["sans-serif"],
        font_mono=["monospace"],
    ).set(
        color_accent="#0072B2",
        slider_color="#0072B2",
        checkbox_background_color_selected="#0072B2",
        button_primary_background_fill="#0072B2",
        button_primary_background_fill_hover="#00639b",
        button_primary_text_color="white",
    )
