//! Which classes are taken for which.

use std::fmt;

use convoke::layers::predicted_class;
use convoke::tensor::Tensor;

/// The most classes whose matrix is printed.
const MAX_COLUMNS: usize = 20;

/// Images by their class and the predicted one.
pub struct Confusion {
    labels: Vec<String>,
    /// Row: the class; column: the prediction.
    counts: Vec<u64>,
}

impl Confusion {
    /// Nothing seen yet. Classes beyond the labels are called by their number.
    pub fn new(classes: usize, labels: &[String]) -> Self {
        let label = |k: usize| labels.get(k).cloned().unwrap_or_else(|| k.to_string());
        Confusion { labels: (0..classes).map(label).collect(), counts: vec![0; classes * classes] }
    }

    /// Counts a batch of logits `[N, K]` whose labels are below the number of classes.
    pub fn add(&mut self, logits: &Tensor, labels: &[u32]) {
        let outputs = logits.data.len() / logits.shape[0];
        for (z, &label) in logits.data.chunks_exact(outputs).zip(labels) {
            self.counts[label as usize * self.labels.len() + predicted_class(z)] += 1;
        }
    }

    fn row(&self, class: usize) -> &[u64] {
        let classes = self.labels.len();
        &self.counts[class * classes..][..classes]
    }

    /// Images predicted to be of a class.
    fn predicted(&self, class: usize) -> u64 {
        (0..self.labels.len()).map(|k| self.row(k)[class]).sum()
    }

    /// The class that this one is most often taken for, the lowest of equals, and how often.
    fn taken_for(&self, class: usize) -> Option<(&str, u64)> {
        let others = self.row(class).iter().enumerate().filter(|&(k, &n)| k != class && n > 0);
        others.rev().max_by_key(|&(_, n)| n).map(|(k, &n)| (self.labels[k].as_str(), n))
    }

    /// The matrix to look at: a row for each class, a column for each prediction, both in the order of the classes. `None`
    /// when there are more classes than fit a line.
    pub fn table(&self) -> Option<String> {
        if self.labels.len() > MAX_COLUMNS {
            return None;
        }
        let width = self.counts.iter().max().map_or(1, |most| most.to_string().len()).max(3);
        let cells = |row: &[u64]| row.iter().map(|n| format!(" {n:>width$}")).collect::<String>();
        let columns: Vec<u64> = (0..self.labels.len() as u64).collect();
        let row = |(k, label): (usize, &String)| format!("\n{k:>3} {label:<20}{}", cells(self.row(k)));
        let rows: String = self.labels.iter().enumerate().map(row).collect();
        Some(format!("{:<24}{}{rows}", "class \\ prediction", cells(&columns)))
    }

    /// The matrix as comma-separated values: a row for each class, a column for each prediction.
    pub fn to_csv(&self) -> String {
        let quoted = |label: &str| format!("\"{}\"", label.replace('"', "\"\""));
        let header: String = self.labels.iter().map(|label| format!(",{}", quoted(label))).collect();
        let row = |(k, label): (usize, &String)| {
            let counts: String = self.row(k).iter().map(|n| format!(",{n}")).collect();
            format!("{}{counts}\n", quoted(label))
        };
        format!("class{header}\n{}", self.labels.iter().enumerate().map(row).collect::<String>())
    }
}

/// A line for each class that has images or predictions; `-` for a quotient of nothing.
impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: u64, of: u64| match of {
            0 => "-".to_string(),
            _ => format!("{:.2} %", 100.0 * part as f64 / of as f64),
        };
        write!(f, "{:<20} {:>8} {:>9} {:>9}  most often taken for", "class", "images", "recall", "precision")?;
        for (k, label) in self.labels.iter().enumerate() {
            let (right, images, predicted) = (self.row(k)[k], self.row(k).iter().sum(), self.predicted(k));
            if images + predicted == 0 {
                continue;
            }
            let (recall, precision) = (percent(right, images), percent(right, predicted));
            let other = self.taken_for(k).map_or(String::new(), |(label, n)| format!("  {label} ({n})"));
            write!(f, "\n{label:<20} {images:>8} {recall:>9} {precision:>9}{other}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_shares_and_ties() {
        let mut c = Confusion::new(4, &["cat".into(), "dog, \"big\"".into()]);
        let z = |k: usize| (0..4).map(|i| if i == k { 1.0 } else { 0.0 }).collect::<Vec<f32>>();
        let logits = Tensor::new([6, 4], [0, 0, 1, 2, 1, 1].map(z).concat()).unwrap();
        c.add(&logits, &[0, 0, 0, 0, 1, 2]);
        assert_eq!(
            c.to_csv(),
            "class,\"cat\",\"dog, \"\"big\"\"\",\"2\",\"3\"\n\"cat\",2,1,1,0\n\"dog, \"\"big\"\"\",0,1,0,0\n\"2\",0,1,0,0\n\"3\",0,0,0,0\n"
        );
        let text = c.to_string();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(lines[1].join(" "), "cat 4 50.00 % 100.00 % dog, \"big\" (1)");
        assert_eq!(lines[2].join(" "), "dog, \"big\" 1 100.00 % 33.33 %");
        let table = c.table().unwrap();
        let rows: Vec<String> =
            table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let wanted =
            ["class \\ prediction 0 1 2 3", "0 cat 2 1 1 0", "1 dog, \"big\" 0 1 0 0", "2 2 0 1 0 0", "3 3 0 0 0 0"];
        assert_eq!(rows, wanted);
        assert!(Confusion::new(MAX_COLUMNS + 1, &[]).table().is_none());
        assert_eq!(lines[3].join(" "), "2 1 0.00 % 0.00 % dog, \"big\" (1)");
    }
}
