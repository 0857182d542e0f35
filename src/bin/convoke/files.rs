//! Reading and writing files, with errors that name them.

use std::io::Write;
use std::path::{Path, PathBuf};

use convoke::format::Model;
use convoke::vision::Image;
use convoke::{Error, Result};
use image::{DynamicImage, ImageDecoder, ImageReader};

/// An error about the file or folder at `path`.
pub fn io(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::Io { path: path.display().to_string(), reason: reason.to_string() }
}

/// The bytes of a file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| io(path, e))
}

/// The model in a file; errors name the file.
pub fn read_model(path: &Path) -> Result<Model> {
    Model::from_bytes(&read(path)?).map_err(|e| io(path, e))
}

/// That a file can be made at `path`, as far as can be told: asked before work that takes long.
pub fn check_writable(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => Err(io(path, "no such folder to write to")),
        _ if path.is_dir() => Err(io(path, "expected a file to write to, got a folder")),
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path)).map_err(|e| io(path, e))
}

/// Writes to standard output; a reader that has seen enough is no error.
pub fn print(text: impl std::fmt::Display) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(io(Path::new("standard output"), e)),
        _ => Ok(()),
    }
}

/// The picture in a PNG, JPEG or WebP file, turned as its camera says.
pub fn read_image(path: &Path) -> Result<Image> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(|e| io(path, e))?;
    let decode = |reader: ImageReader<_>| {
        let mut decoder = reader.into_decoder()?;
        let orientation = decoder.orientation()?;
        let mut image = DynamicImage::from_decoder(decoder)?;
        image.apply_orientation(orientation);
        Ok::<_, image::ImageError>(image)
    };
    let image = decode(reader).map_err(|e| io(path, e))?.into_rgba8();
    Image::rgba(image.width() as usize, image.height() as usize, image.into_raw())
}

/// `1234567` as `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).expect("digits are ASCII")).collect();
    groups.join(",")
}

/// Plain data as a JSON value, its f32 numbers with their own few digits rather than all of their f64 ones.
pub fn json(data: &impl serde::Serialize) -> serde_json::Value {
    let text = serde_json::to_string(data).expect("plain data");
    serde_json::from_str(&text).expect("written a line above")
}
