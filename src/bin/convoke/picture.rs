//! Pictures in files.

use std::path::Path;

use convoke::vision::Image;
use convoke::{Error, Result};
use image::{DynamicImage, ImageDecoder, ImageReader};

/// The picture in a PNG, JPEG or WebP file, turned as its camera says.
pub fn read(path: &Path) -> Result<Image> {
    let io = |e: image::ImageError| Error::Io { path: path.display().to_string(), reason: e.to_string() };
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(|e| io(e.into()))?;
    let decode = |reader: ImageReader<_>| {
        let mut decoder = reader.into_decoder()?;
        let orientation = decoder.orientation()?;
        let mut image = DynamicImage::from_decoder(decoder)?;
        image.apply_orientation(orientation);
        Ok::<_, image::ImageError>(image)
    };
    let image = decode(reader).map_err(io)?.into_rgba8();
    Image::rgba(image.width() as usize, image.height() as usize, image.into_raw())
}
