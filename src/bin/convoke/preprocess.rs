//! Preprocessing by options, for model files that do not say how their images are made.

use std::path::Path;

use clap::ValueEnum;
use convoke::format::Model;
use convoke::vision::{Channels, Preprocess};
use convoke::{Error, Result};

/// How an image becomes an input; each option replaces the setting in the model file.
#[derive(Default, PartialEq, clap::Args)]
#[command(next_help_heading = "Preprocessing")]
pub struct Args {
    /// Stretch to this size: 224 or HEIGHTxWIDTH.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, conflicts_with = "resize")]
    size: Option<[usize; 2]>,
    /// Scale the shorter side to this many pixels.
    #[arg(long, value_name = "PIXELS")]
    resize: Option<usize>,
    /// Cut this square out of the middle.
    #[arg(long, value_name = "PIXELS")]
    crop: Option<usize>,
    /// Mean of each channel, or one for all, of values in 0..1.
    #[arg(long, value_name = "M,M,M", value_delimiter = ',', allow_negative_numbers = true)]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel, or one for all.
    #[arg(long, value_name = "S,S,S", value_delimiter = ',')]
    std: Option<Vec<f32>>,
    /// Colours that the network sees [default: as its input has].
    #[arg(long, value_enum)]
    channels: Option<Colours>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Colours {
    Rgb,
    Gray,
}

impl Args {
    /// Returns the preprocessing of the model file, with the given options in place of its settings.
    pub fn complete(&self, model: &Model, path: &Path) -> Result<Preprocess> {
        let given = self.size.is_some() || self.resize.is_some() || self.crop.is_some();
        let mut p = match &model.meta.preprocess {
            Some(p) => p.clone(),
            None if given => Preprocess { channels: channels_of(model), ..Preprocess::default() },
            None => return Err(Self::missing(path)),
        };
        if given {
            (p.size, p.resize, p.crop, p.pad) = (self.size, self.resize, self.crop, 0);
        }
        if let Some(mean) = &self.mean {
            p.mean = mean.clone();
        }
        if let Some(std) = &self.std {
            p.std = std.clone();
        }
        match self.channels {
            Some(Colours::Rgb) => p.channels = Channels::Rgb,
            Some(Colours::Gray) => p.channels = Channels::Gray,
            None => {}
        }
        p.validate()?;
        Ok(p)
    }

    /// Returns the preprocessing as [`Args::complete`] does, or `None` where neither the file nor an option gives any.
    pub fn optional(&self, model: &Model, path: &Path) -> Result<Option<Preprocess>> {
        if *self == Args::default() { Ok(model.meta.preprocess.clone()) } else { self.complete(model, path).map(Some) }
    }

    fn missing(path: &Path) -> Error {
        let expected = "`preprocess` in its metadata, or --size, --resize or --crop (with --mean and --std)";
        Error::format(path.display().to_string(), expected, "neither")
    }
}

fn channels_of(model: &Model) -> Channels {
    if model.graph.input().chw().0 == 1 { Channels::Gray } else { Channels::Rgb }
}

fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let number = |t: &str| t.parse::<usize>().map_err(|e| format!("{t}: {e}"));
    match text.split_once('x') {
        Some((height, width)) => Ok([number(height)?, number(width)?]),
        None => number(text).map(|side| [side; 2]),
    }
}
