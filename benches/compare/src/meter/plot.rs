//! A bar for each side, as SVG. Nothing but shapes and text, so that it shows everywhere.

use std::fmt::Write;

/// A bar.
pub struct Bar {
    pub name: String,
    pub value: f64,
    /// The slowest and the fastest round.
    pub range: (f64, f64),
    /// The value as it is written beside the bar.
    pub label: String,
    pub ours: bool,
}

const WIDTH: f64 = 860.0;
const NAMES: f64 = 290.0;
const FIGURES: f64 = 90.0;
const ROW: f64 = 26.0;
const HEAD: f64 = 64.0;

/// The plot: a title, a line below it, and bars in the order given, to one scale from zero.
pub fn svg(title: &str, subtitle: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.range.1.max(bar.value)).fold(0.0, f64::max);
    let scale = (WIDTH - NAMES - FIGURES) / if most > 0.0 { most } else { 1.0 };
    let height = HEAD + ROW * bars.len() as f64 + 12.0;
    let mut svg = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"16\" font-weight=\"600\" fill=\"#1c1c1c\">{}</text>\n\
         <text x=\"16\" y=\"46\" fill=\"#5c5c5c\">{}</text>",
        escaped(title),
        escaped(subtitle),
    );
    for (bar, top) in bars.iter().zip((0..).map(|row| HEAD + ROW * f64::from(row))) {
        let (middle, width) = (top + ROW / 2.0, (bar.value * scale).max(1.0));
        let colour = if bar.ours { "#0b6e4f" } else { "#9aa5b1" };
        let (low, high) = (NAMES + bar.range.0 * scale, NAMES + bar.range.1 * scale);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#1c1c1c\">{}</text>\n\
             <rect x=\"{NAMES}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"16\" \
             fill=\"{colour}\"/>\n\
             <line x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" \
             stroke=\"#1c1c1c\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#1c1c1c\">{}</text>",
            NAMES - 10.0,
            middle + 4.5,
            escaped(&bar.name),
            top + 5.0,
            high.max(NAMES + width) + 8.0,
            middle + 4.5,
            bar.label,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Million events a second, with three digits or so.
pub fn rate(millions: f64) -> String {
    let places = if millions >= 10.0 { 1 } else { 2 + usize::from(millions < 0.1) };
    format!("{millions:.places$} M/s")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_to_scale_and_stay_within_the_plot() {
        let bar = |name: &str, value, ours| Bar {
            name: name.to_owned(),
            value,
            range: (value * 0.9, value * 1.1),
            label: rate(value),
            ours,
        };
        let svg = svg("a < b", "c & d", &[bar("fast", 60.0, true), bar("slow", 0.05, false)]);
        let widths: Vec<f64> = svg
            .lines()
            .filter(|line| line.starts_with("<rect x"))
            .filter_map(|line| line.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(widths.len(), 2, "{svg}");
        assert!(NAMES + widths[0] * 1.1 <= WIDTH - FIGURES + 0.2 && widths[0] > 400.0, "{svg}");
        assert!(widths[1] >= 1.0 && widths[1] < 1.1, "{svg}");
        assert!(svg.contains("a &lt; b") && svg.contains("c &amp; d"), "{svg}");
        assert!(svg.contains("60.0 M/s") && svg.contains("0.050 M/s"), "{svg}");
    }
}
