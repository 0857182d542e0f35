//! Pictures in files.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use convoke::vision::Image;
use convoke::{Error, Result};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use mozjpeg::{ColorSpace, Decompress};

/// The picture in a PNG, JPEG or WebP file, turned as its camera says.
pub fn read(path: &Path) -> Result<Image> {
    let io = |reason: String| Error::Io { path: path.display().to_string(), reason };
    let bytes = std::fs::read(path).map_err(|e| io(e.to_string()))?;
    let image = decode(&bytes).map_err(io)?.into_rgba8();
    Image::rgba(image.width() as usize, image.height() as usize, image.into_raw())
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let said = |e: image::ImageError| e.to_string();
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let is_jpeg = reader.format() == Some(ImageFormat::Jpeg);
    let mut decoder = reader.into_decoder().map_err(said)?;
    let orientation = decoder.orientation().map_err(said)?;
    Limits::default().reserve(decoder.total_bytes()).map_err(said)?;
    let colours = if is_jpeg { jpeg(bytes)? } else { None };
    let mut image = match colours {
        Some(rgb) => rgb.into(),
        None => DynamicImage::from_decoder(decoder).map_err(said)?,
    };
    image.apply_orientation(orientation);
    Ok(image)
}

/// Decodes a JPEG by libjpeg, as Pillow does: the decoders in Rust that were tried upsample colour of half resolution
/// in another way. Returns `None` for CMYK.
fn jpeg(bytes: &[u8]) -> Result<Option<RgbImage>, String> {
    // libjpeg fills the missing part of a truncated file with gray instead of failing.
    let scan = bytes.windows(2).rposition(|marker| marker == [0xff, 0xda]).unwrap_or(0);
    if !bytes[scan..].windows(2).any(|marker| marker == [0xff, 0xd9]) {
        return Err("the JPEG is cut off".into());
    }
    let pixels = || {
        let decoder = Decompress::new_mem(bytes)?;
        if matches!(decoder.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK) {
            return Ok(None);
        }
        let mut started = decoder.rgb()?;
        let (width, height) = (started.width() as u32, started.height() as u32);
        let pixels = started.read_scanlines::<u8>()?;
        started.finish()?;
        Ok::<_, std::io::Error>(RgbImage::from_raw(width, height, pixels))
    };
    // mozjpeg reports an error by unwinding with a message.
    let unwound = catch_unwind(AssertUnwindSafe(pixels));
    let done =
        unwound.map_err(|said| said.downcast_ref::<String>().cloned().unwrap_or_else(|| "no valid JPEG".into()))?;
    done.map_err(|e| e.to_string())
}
