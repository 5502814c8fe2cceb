"""Screenshots as one moving picture: frames by the browser's own WebP encoder, put together.

Belongs here: drawing, encoding and the container. Not here: what is on the pictures. No
image library is needed, since the browser that took them can encode them.
"""

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from playwright.sync_api import Browser

_CAPTION_HEIGHT = 44
# Draws a picture smaller, with words below it, and gives the WebP of it.
_DRAW = """async ({ png, caption, width, bar, quality }) => {
  const source = await createImageBitmap(
    await (await fetch("data:image/png;base64," + png)).blob(),
  );
  const height = Math.round((source.height * width) / source.width);
  const canvas = new OffscreenCanvas(width, height + bar);
  const paint = canvas.getContext("2d");
  paint.imageSmoothingQuality = "high";
  paint.drawImage(source, 0, 0, width, height);
  paint.fillStyle = "#12201c";
  paint.fillRect(0, height, width, bar);
  paint.fillStyle = "#f7d26a";
  paint.font = "600 17px 'DejaVu Sans', sans-serif";
  paint.textBaseline = "middle";
  paint.fillText(caption, 18, height + bar / 2);
  const blob = await canvas.convertToBlob({ type: "image/webp", quality });
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768)
    text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return { webp: btoa(text), height: canvas.height };
}"""


@dataclass(frozen=True)
class Frame:
    """A screenshot, what is said of it, and for how long it is shown."""

    png: bytes
    caption: str
    seconds: float


def moving_picture(
    browser: Browser, frames: Sequence[Frame], *, width: int, quality: float
) -> bytes:
    """An animated WebP that goes on for ever.

    Args:
        width: of the picture, in pixels; its height follows.
        quality: 0 to 1, of the browser's lossy encoder.
    """
    context = browser.new_context()
    page = context.new_page()
    images, height = [], 0
    for frame in frames:
        drawn = page.evaluate(
            _DRAW,
            {
                "png": base64.b64encode(frame.png).decode(),
                "caption": frame.caption,
                "width": width,
                "bar": _CAPTION_HEIGHT,
                "quality": quality,
            },
        )
        images.append((base64.b64decode(drawn["webp"]), frame.seconds))
        height = int(drawn["height"])
    context.close()
    return _animation(images, width, height)


def _animation(images: Sequence[tuple[bytes, float]], width: int, height: int) -> bytes:
    """The container, by the WebP Container Specification (RFC 9649, section 2.7)."""
    has_animation = 0b10
    size = _u24(width - 1) + _u24(height - 1)
    chunks = _chunk(b"VP8X", struct.pack("<I", has_animation) + size)
    background, for_ever = 0xFFFFFFFF, 0
    chunks += _chunk(b"ANIM", struct.pack("<IH", background, for_ever))
    for image, seconds in images:
        # At the corner, whole, and not blended with the frame before.
        head = _u24(0) * 2 + size + _u24(round(seconds * 1_000)) + b"\x02"
        chunks += _chunk(b"ANMF", head + _bitstream(image))
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _bitstream(image: bytes) -> bytes:
    """The chunk of the pixels in a still WebP, with what it may have beside them."""
    place = 12
    while place < len(image):
        name = image[place : place + 4]
        (length,) = struct.unpack_from("<I", image, place + 4)
        end = place + 8 + length + length % 2
        if name in (b"VP8 ", b"VP8L"):
            return image[place:end]
        place = end
    raise ValueError("the browser gave a WebP without pixels")


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _u24(number: int) -> bytes:
    return struct.pack("<I", number)[:3]
