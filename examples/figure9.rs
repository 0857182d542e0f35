//! Draws figure 9 of the lecture notes from measured runs: the training and test errors of plain networks and of their
//! residual twins against epochs.
//!
//! `cargo run --release --example figure9 -- LOG SVG`; `LOG` holds what `convoke train --log` wrote, run after run.
use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    network: String,
    epoch: u32,
    error: f64,
    held_out_error: f64,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Plain networks are red and residual ones blue, the deeper of each darker and thicker.
const STYLES: [(RGBColor, u32); 4] = [
    (RGBColor(239, 138, 98), 2),
    (RGBColor(178, 24, 43), 3),
    (RGBColor(103, 169, 207), 2),
    (RGBColor(33, 102, 172), 3),
];

fn main() -> Result<(), Box<dyn Error>> {
    let [_, log, svg] = std::env::args().collect::<Vec<_>>().try_into().map_err(|_| "usage: figure9 LOG SVG")?;
    let lines = std::fs::read_to_string(log)?;
    let figures: Vec<Figures> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let runs = runs(&figures);

    let root = SVGBackend::new(&svg, (960, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(480);
    panel(&left, "Training error", &runs, |f| f.error)?;
    panel(&right, "Test error", &runs, |f| f.held_out_error)?;
    root.present()?;
    Ok(())
}

/// The epochs of each network, plain ones first, then by depth: by name.
fn runs(figures: &[Figures]) -> Vec<Vec<&Figures>> {
    let mut runs: Vec<Vec<&Figures>> =
        figures.chunk_by(|a, b| a.network == b.network).map(|r| r.iter().collect()).collect();
    runs.sort_by(|a, b| a[0].network.cmp(&b[0].network));
    runs
}

fn panel(area: &Area, title: &str, runs: &[Vec<&Figures>], error: fn(&Figures) -> f64) -> Result<(), Box<dyn Error>> {
    let epochs = runs.iter().flatten().map(|f| f.epoch).max().ok_or("the log is empty")?;
    let top = runs.iter().flatten().map(|f| 100.0 * error(f)).fold(0.0, f64::max).min(100.0);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(1..epochs, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("epoch")
        .y_desc("error (%)")
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(("sans-serif", 14))
        .draw()?;
    for (run, (color, width)) in runs.iter().zip(STYLES) {
        let style = color.stroke_width(width);
        chart
            .draw_series(LineSeries::new(run.iter().map(|f| (f.epoch, 100.0 * error(f))), style))?
            .label(&run[0].network)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}
