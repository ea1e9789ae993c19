//! The chart: each figure that has a bar, as a part of what its bar allows or asks for.

use std::fmt::Write;

use crate::figure::{Bar, Figure};

const ROW: usize = 22;
const LABELS: usize = 470;
/// Where the bars of all figures stand.
const BAR: f64 = 300.0;
const WIDTH: usize = 1040;
/// The longest bar that is drawn; what it stands for is written behind it.
const LONGEST: f64 = 440.0;

/// An SVG document.
pub fn svg(figures: &[Figure]) -> String {
    let judged: Vec<&Figure> = figures.iter().filter(|figure| figure.bar.is_some()).collect();
    let height = 50 + ROW * judged.len();
    let mut rows = String::new();
    for (row, figure) in judged.iter().enumerate() {
        let top = 40 + ROW * row;
        let (share, sense) = share(figure);
        let color = if figure.passes() == Some(true) { "#2f7d4f" } else { "#b3261e" };
        // Writing into a String can't fail.
        let _ = write!(
            rows,
            r#"<text x="{x}" y="{y}" text-anchor="end">{scenario}: {name}</text><rect x="{left}" y="{top}" width="{width:.1}" height="14" fill="{color}"/><text x="{after}" y="{y}" fill="{color}">{share:.2} {sense}</text>"#,
            x = LABELS - 8,
            y = top + 12,
            scenario = escaped(figure.scenario),
            name = escaped(&figure.name),
            left = LABELS,
            width = (share * BAR).clamp(1.0, LONGEST),
            after = LABELS as f64 + LONGEST + 8.0,
        );
    }
    let at = LABELS as f64 + BAR;
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#fff"/><text x="{LABELS}" y="18" font-size="13">Each figure as a part of its bar (the line)</text>{rows}<line x1="{at}" y1="28" x2="{at}" y2="{height}" stroke="#222" stroke-dasharray="4 3"/></svg>"##
    )
}

fn share(figure: &Figure) -> (f64, &'static str) {
    let judged = figure.ratio().unwrap_or(figure.value);
    let part = |bar: f64| if bar == 0.0 { if judged == 0.0 { 0.0 } else { 2.0 } } else { judged / bar };
    match figure.bar {
        Some(Bar::AtLeast(least)) => (part(least), "of the least"),
        Some(Bar::AtMost(most)) => (part(most), "of the most"),
        None => (0.0, ""),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_with_a_bar_are_drawn_and_names_can_not_break_the_document() {
        let text =
            svg(&[Figure::new("issue", "a<b", 0.3, "1/s").at_least(0.6), Figure::new("issue", "without", 0.3, "1/s")]);
        assert!(
            text.contains("issue: a&lt;b") && text.contains("0.50 of the least") && !text.contains("without"),
            "{text}"
        );
    }
}
