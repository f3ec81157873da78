//! Tables to paste: Markdown, aligned for those who read it in a terminal.

/// Rows of cells below a head; the first column is words, the others are figures.
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(head: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { head: head.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, what: impl Into<String>, figures: impl IntoIterator<Item = impl Into<String>>) {
        let figures = figures.into_iter().map(Into::into);
        self.rows.push(std::iter::once(what.into()).chain(figures).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| {
            all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |f: &mut std::fmt::Formatter<'_>, row: &[String]| {
            for (column, width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                if column == 0 { write!(f, "| {cell:<width$} ")? } else { write!(f, "| {cell:>width$} ")? }
            }
            writeln!(f, "|")
        };
        line(f, &self.head)?;
        for (column, width) in widths.iter().enumerate() {
            let end = if column == 0 { '-' } else { ':' };
            write!(f, "|{}{end}", "-".repeat(width + 1))?;
        }
        writeln!(f, "|")?;
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}

/// The middle of some figures; 0 of none.
pub fn median(figures: &[f64]) -> f64 {
    percentile(figures, 50.0)
}

/// The figure that so many percent do not exceed (nearest rank); 0 of none.
pub fn percentile(figures: &[f64], percent: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let len = sorted.len();
    if percent <= 50.0 && len > 1 && len.is_multiple_of(2) && (percent - 50.0).abs() < f64::EPSILON {
        return f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]);
    }
    let rank = (1..=len).find(|rank| as_f64(*rank) * 100.0 >= percent * as_f64(len)).unwrap_or(len);
    rank.checked_sub(1).and_then(|at| sorted.get(at)).copied().unwrap_or_default()
}

/// A count for a division; counts here are far below 2^52.
#[allow(clippy::cast_precision_loss)]
pub fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }

    #[test]
    fn a_high_percentile_of_few_figures_is_the_greatest() {
        assert!((percentile(&[1.0, 9.0, 3.0], 99.0) - 9.0).abs() < 1e-9);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["what", "10"]);
        table.row("writes", ["22000"]);
        assert_eq!(table.to_string(), "| what   |    10 |\n|--------|------:|\n| writes | 22000 |\n");
    }
}
