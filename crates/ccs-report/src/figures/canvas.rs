//! Shapes in pixels, written as SVG: the one engine of all figures.

use std::fmt::{Display, Write};

use serde::Serialize;

use super::palette::{Ink, PAPER, QUIET, TEXT};

/// A figure for wide pages and one for phones.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) wide: String,
    pub(crate) narrow: String,
}

/// A point of the canvas.
pub(super) type At = (f64, f64);

/// Which point of a text is given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Where the figure is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Inside the page: colors are variables of its style sheet.
    Page,
    /// A file of its own: colors are written out, on white.
    File,
}

/// A figure in progress.
#[derive(Debug)]
pub(super) struct Canvas {
    width: f64,
    height: f64,
    target: Target,
    body: String,
}

impl Canvas {
    pub(super) fn new(target: Target, (width, height): (f64, f64)) -> Self {
        Self { width, height, target, body: String::new() }
    }

    /// The SVG with a longer description for readers who cannot see it.
    pub(super) fn described(mut self, label: &str, description: &str) -> String {
        self.body.insert_str(0, &format!("<desc>{}</desc>\n", escaped(description)));
        self.finish(label)
    }

    /// The SVG. `label` says what it shows to readers who cannot see it.
    pub(super) fn finish(self, label: &str) -> String {
        let Self { width, height, target, body } = self;
        let (width, height, label) = (round(width), round(height), escaped(label));
        match target {
            Target::Page => format!(
                "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\n{body}</svg>\n"
            ),
            Target::File => format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"sans-serif\">\n<title>{label}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"{}\"/>\n{body}</svg>\n",
                PAPER.on_white()
            ),
        }
    }

    fn color(&self, ink: Ink) -> String {
        match self.target {
            Target::Page => format!("var(--{})", ink.name),
            Target::File => ink.on_white().to_owned(),
        }
    }

    /// Every shape goes through here. One NaN would spoil the whole figure, so its shape is left out.
    fn add(&mut self, numbers: &[f64], shape: impl Display) {
        if numbers.iter().all(|n| n.is_finite()) {
            let _ = writeln!(self.body, "{shape}");
        }
    }

    pub(super) fn rectangle(&mut self, (x, y): At, (width, height): At, ink: Ink, opacity: f64) {
        let [x, y, w, h] = [x, y, width.max(0.0), height.max(0.0)].map(round);
        let color = self.color(ink);
        let shape = format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"{color}\" opacity=\"{opacity}\"/>"
        );
        self.add(&[x, y, w, h], shape);
    }

    pub(super) fn line(&mut self, from: At, to: At, ink: Ink, width: f64) {
        self.stroke(from, to, ink, width, "");
    }

    pub(super) fn dashes(&mut self, from: At, to: At, ink: Ink) {
        self.stroke(from, to, ink, 1.2, " stroke-dasharray=\"5 4\"");
    }

    /// A line with a head at its end; a line that is too short for a head has none.
    pub(super) fn arrow(&mut self, from: At, to: At, ink: Ink, width: f64) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        let head = (4.0 * width).min(0.6 * length);
        if length < 1.0 {
            return self.disc(from, width, ink, 1.0);
        }
        let (ux, uy) = (dx / length, dy / length);
        let neck = (to.0 - head * ux, to.1 - head * uy);
        let side = |sign: f64| (neck.0 - sign * 0.5 * head * uy, neck.1 + sign * 0.5 * head * ux);
        self.line(from, neck, ink, width);
        self.polygon(&[to, side(1.0), side(-1.0)], ink, 1.0);
    }

    fn stroke(&mut self, (x1, y1): At, (x2, y2): At, ink: Ink, width: f64, dashes: &str) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(round);
        let color = self.color(ink);
        let shape = format!(
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{color}\" stroke-width=\"{width}\"{dashes}/>"
        );
        self.add(&[x1, y1, x2, y2], shape);
    }

    /// A line through points.
    pub(super) fn polyline(&mut self, points: &[At], ink: Ink, width: f64) {
        let look = format!("fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"", self.color(ink));
        self.through("polyline", points, &look);
    }

    /// The inside of an outline.
    pub(super) fn polygon(&mut self, outline: &[At], ink: Ink, opacity: f64) {
        let look = format!("fill=\"{}\" opacity=\"{opacity}\"", self.color(ink));
        self.through("polygon", outline, &look);
    }

    /// An outline, the paler the lower its opacity.
    pub(super) fn polygon_line(&mut self, outline: &[At], ink: Ink, opacity: f64) {
        let color = self.color(ink);
        let look = format!("fill=\"none\" stroke=\"{color}\" stroke-width=\"1.4\" opacity=\"{opacity}\"");
        self.through("polygon", outline, &look);
    }

    fn through(&mut self, tag: &str, points: &[At], look: &str) {
        let numbers: Vec<f64> = points.iter().flat_map(|&(x, y)| [x, y]).collect();
        let list: Vec<String> = points.iter().map(|&(x, y)| format!("{},{}", round(x), round(y))).collect();
        self.add(&numbers, format!("<{tag} points=\"{}\" {look}/>", list.join(" ")));
    }

    pub(super) fn disc(&mut self, at: At, radius: f64, ink: Ink, opacity: f64) {
        let look = format!("fill=\"{}\" opacity=\"{opacity}\"", self.color(ink));
        self.circle(at, radius, &look);
    }

    /// A circle of a line, the paler the lower its opacity.
    pub(super) fn circle_line(&mut self, at: At, radius: f64, ink: Ink, opacity: f64) {
        let color = self.color(ink);
        let look = format!("fill=\"none\" stroke=\"{color}\" stroke-width=\"1.4\" opacity=\"{opacity}\"");
        self.circle(at, radius, &look);
    }

    /// A circle of dashes.
    pub(super) fn dashed_circle(&mut self, at: At, radius: f64, ink: Ink) {
        let color = self.color(ink);
        let look = format!("fill=\"none\" stroke=\"{color}\" stroke-dasharray=\"3 4\"");
        self.circle(at, radius, &look);
    }

    /// A circle filled with the paper's color.
    pub(super) fn hollow_disc(&mut self, at: At, radius: f64, ink: Ink) {
        let look = self.hollow(ink);
        self.circle(at, radius, &look);
    }

    /// A circle with nothing inside, around something else.
    pub(super) fn ring(&mut self, at: At, radius: f64, ink: Ink) {
        let look = format!("fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\"", self.color(ink));
        self.circle(at, radius, &look);
    }

    fn circle(&mut self, (x, y): At, radius: f64, look: &str) {
        let [x, y, r] = [x, y, radius].map(round);
        self.add(&[x, y, r], format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" {look}/>"));
    }

    pub(super) fn square(&mut self, (x, y): At, half: f64, ink: Ink) {
        self.rectangle((x - half, y - half), (2.0 * half, 2.0 * half), ink, 1.0);
    }

    /// A square filled with the paper's color.
    pub(super) fn hollow_square(&mut self, (x, y): At, half: f64, ink: Ink) {
        let [left, top, side] = [x - half, y - half, 2.0 * half].map(round);
        let look = self.hollow(ink);
        let shape = format!("<rect x=\"{left}\" y=\"{top}\" width=\"{side}\" height=\"{side}\" {look}/>");
        self.add(&[left, top, side], shape);
    }

    fn hollow(&self, ink: Ink) -> String {
        let (paper, color) = (self.color(PAPER), self.color(ink));
        format!("fill=\"{paper}\" stroke=\"{color}\" stroke-width=\"1.6\"")
    }

    /// A name and, quieter, more about it. A halo keeps the lines behind it off.
    pub(super) fn label(&mut self, (x, y): At, size: i32, name: &str, detail: &str) {
        let [x, y] = [x, centered(y, size)].map(round);
        let detail = if detail.is_empty() {
            String::new()
        } else {
            let (small, color) = (size - 1, self.color(QUIET));
            format!("<tspan dx=\"6\" font-size=\"{small}\" fill=\"{color}\">{}</tspan>", escaped(detail))
        };
        let (name, color) = (escaped(name), self.color(TEXT));
        let shape = format!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{color}\" class=\"halo\">{name}{detail}</text>"
        );
        self.add(&[x, y], shape);
    }

    /// A text whose middle line is at the point's height.
    pub(super) fn text(&mut self, (x, y): At, size: i32, anchor: Anchor, ink: Ink, text: &str) {
        let [x, y] = [x, centered(y, size)].map(round);
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let (color, text) = (self.color(ink), escaped(text));
        let shape =
            format!("<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\"{anchor} fill=\"{color}\">{text}</text>");
        self.add(&[x, y], shape);
    }
}

impl Canvas {
    /// A text around a point, turned to be read from the right.
    pub(super) fn upward(&mut self, (x, y): At, size: i32, ink: Ink, text: &str) {
        let [x, y] = [x + 0.35 * f64::from(size), y].map(round);
        let (color, text) = (self.color(ink), escaped(text));
        let shape = format!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"middle\" transform=\"rotate(-90 {x} {y})\" fill=\"{color}\">{text}</text>"
        );
        self.add(&[x, y], shape);
    }
}

/// The baseline of a text whose middle line is at `y`.
fn centered(y: f64, size: i32) -> f64 {
    y + 0.35 * f64::from(size)
}

/// To a hundredth of a pixel, without a sign on zero.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0 + 0.0
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_nan_is_left_out() {
        let mut canvas = Canvas::new(Target::Page, (10.0, 10.0));
        canvas.text((1.0, 1.0), 10, Anchor::Start, TEXT, "<b a=\"x\">&");
        canvas.disc((f64::NAN, 1.0), 1.0, TEXT, 1.0);
        canvas.polyline(&[(0.0, 0.0), (f64::INFINITY, 1.0)], TEXT, 1.0);
        let svg = canvas.finish("a \"label\"");
        assert!(svg.contains("&lt;b a=&quot;x&quot;&gt;&amp;") && svg.contains("a &quot;label&quot;"));
        assert!(!svg.contains("NaN") && !svg.contains("circle") && !svg.contains("polyline"));
    }

    #[test]
    fn a_page_names_colors_and_a_file_writes_them_out() {
        let drawn = |target| {
            let mut canvas = Canvas::new(target, (10.0, 10.0));
            canvas.hollow_square((5.0, 5.0), 2.0, TEXT);
            canvas.finish("square")
        };
        let (page, file) = (drawn(Target::Page), drawn(Target::File));
        assert!(page.contains("fill=\"var(--paper)\" stroke=\"var(--text)\"") && !page.contains('#'));
        assert!(file.contains("fill=\"#ffffff\" stroke=\"#1d1f21\"") && !file.contains("var("));
    }
}
