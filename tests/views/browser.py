"""What the tests in a browser share: finding a word, a colour of the map, and what is lit or pressed."""

# The strongest colour of a map covers 0.7 of the picture, whatever its scale.
FULL = 0.7 * 255


def word(page, text, caption=0):
    return page.locator(f'.caption[data-caption="{caption}"] .text .t').get_by_text(text, exact=True)


def pixel(page, x, y):
    """The map's colour at a cell of its grid: red, green, blue, opacity."""
    return page.evaluate(f"[...document.querySelector('canvas').getContext('2d').getImageData({x}, {y}, 1, 1).data]")


def lit(page):
    return page.locator(".t.lit").all_inner_texts()


def pressed(page):
    return page.locator('[aria-pressed="true"]').all_inner_texts()
