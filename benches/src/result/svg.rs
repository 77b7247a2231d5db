//! A small writer of SVG: text, bars and lines that can be read on a light and on a dark page.

use std::fmt::Write;

/// Width of every picture, in its own units.
pub const WIDTH: f64 = 880.0;

/// A picture being drawn.
#[derive(Debug, Default)]
pub struct Picture {
    body: String,
    title: String,
}

/// What fills a shape: the same hue reads on both backgrounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Ambit's.
    Ours,
    /// Another ztunnel's.
    Rival,
    /// Sidecars'.
    Sidecar,
    /// No mesh.
    Bare,
}

impl Ink {
    fn class(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Rival => "rival",
            Self::Sidecar => "sidecar",
            Self::Bare => "bare",
        }
    }
}

/// Where a text is put, relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// To the right of it.
    Start,
    /// Around it.
    Middle,
    /// To the left of it.
    End,
}

const STYLE: &str = "\
text{font:13px -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;fill:#24292f}\
.head{font-weight:600;font-size:15px}.faint{fill:#57606a;font-size:12px}.axis{stroke:#8c959f;stroke-width:1}\
.grid{stroke:#8c959f;stroke-width:.5;opacity:.35}.ours{fill:#0b7285;stroke:#0b7285}.rival{fill:#e8590c;stroke:#e8590c}\
.sidecar{fill:#7048e8;stroke:#7048e8}.bare{fill:#868e96;stroke:#868e96}.line{fill:none;stroke-width:2}\
.fitted{stroke-dasharray:6 5}.range{stroke:#24292f;stroke-width:1.2;fill:none}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.faint{fill:#9da7b3}.range{stroke:#e6edf3}\
.ours{fill:#22b8cf;stroke:#22b8cf}.rival{fill:#ff922b;stroke:#ff922b}.sidecar{fill:#9775fa;stroke:#9775fa}\
.bare{fill:#adb5bd;stroke:#adb5bd}}";

impl Picture {
    /// An empty one; the title is for those who cannot see it.
    pub fn new(title: &str) -> Self {
        Self { body: String::new(), title: title.to_owned() }
    }

    /// A text of a class (`head`, `faint` or none).
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"
        );
    }

    /// A bar with rounded corners.
    pub fn bar(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), ink: Ink) {
        let class = ink.class();
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\" class=\"{class}\"/>"
        );
    }

    /// A straight line of a class (`axis`, `grid`, `range`).
    pub fn rule(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let _ = writeln!(
            self.body,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" class=\"{class}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// A line through points, dashed when it was not measured.
    pub fn line(&mut self, points: &[(f64, f64)], ink: Ink, fitted: bool) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let (class, dashes) = (ink.class(), if fitted { " fitted" } else { "" });
        // An attribute's own style wins over the class's fill.
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" class=\"{class} line{dashes}\" style=\"fill:none\"/>",
            points.join(" ")
        );
    }

    /// A dot.
    pub fn dot(&mut self, (x, y): (f64, f64), ink: Ink) {
        let _ =
            writeln!(self.body, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" class=\"{}\"/>", ink.class());
    }

    /// The file's text.
    pub fn finish(self, height: f64) -> String {
        let title = escaped(&self.title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
             height=\"{height:.0}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n<style>{STYLE}</style>\n{}</svg>\n",
            self.body
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A round number not below the given one, to end an axis with.
pub fn round_up(number: f64) -> f64 {
    if !(number.is_finite() && number > 0.0) {
        return 1.0;
    }
    let scale = 10_f64.powf(number.log10().floor());
    [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * scale)
        .find(|round| *round >= number * 0.999_999)
        .unwrap_or(10.0 * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!(round_up(0.0), 1.0);
        assert_eq!(round_up(17_100.0), 20_000.0);
        assert_eq!(round_up(0.23), 0.25);
        assert_eq!(round_up(1_000.0), 1_000.0);
    }

    #[test]
    fn texts_cannot_break_the_picture() {
        let mut picture = Picture::new("a < b & \"c\"");
        picture.text((1.0, 2.0), Anchor::Start, "", "<script>");
        let text = picture.finish(10.0);
        assert!(text.contains("&lt;script&gt;") && !text.contains("<script>"));
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
    }
}
