//! Small plots of the page, written by hand: shapes in the colours of its style sheet, in pixels.

use std::fmt::{Display, Write};

use super::legend::text_width;
use crate::Method;

/// A colour by its name in the style sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paint(&'static str);

pub(super) const TEXT: Paint = Paint("text");
pub(super) const QUIET: Paint = Paint("quiet");
pub(super) const LINE: Paint = Paint("line");
pub(super) const RANDOM: Paint = Paint("random");
pub(super) const CCS: Paint = Paint("ccs");

/// The paint of a method.
pub(super) fn paint(method: Method) -> Paint {
    Paint(match class(method) {
        "majority" => "text",
        class => class,
    })
}

/// The style class of a method's colour: the same for all but those that every run has.
pub(super) fn class(method: Method) -> &'static str {
    match method.name() {
        "ccs" => "ccs",
        "lr" => "lr",
        "random" => "random",
        "zero_shot" => "zero-shot",
        "majority" => "majority",
        _ => "other",
    }
}

/// What a point is in a text or a line.
pub(super) type At = (f64, f64);

/// Where a text has its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A plot being written.
#[derive(Debug)]
pub(super) struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// The whole, for the inside of a page; `label` is what it shows, for readers who do not see it.
    pub(super) fn finish(self, label: &str) -> String {
        let Self { width, height, body } = self;
        let label = escaped(label);
        format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{label}\">\n{body}</svg>\n",
            round(width),
            round(height)
        )
    }

    /// Every shape goes through here; a number that is none would spoil the whole plot, so its shape is left out.
    fn add(&mut self, numbers: &[f64], shape: impl Display) {
        if numbers.iter().all(|n| n.is_finite()) {
            let _ = writeln!(self.body, "{shape}");
        }
    }

    pub(super) fn rectangle(&mut self, (x, y): At, (width, height): At, paint: Paint, opacity: f64) {
        let [x, y, w, h] = [x, y, width.max(0.0), height.max(0.0)].map(round);
        let shape = format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"var(--{})\" opacity=\"{opacity}\"/>",
            paint.0
        );
        self.add(&[x, y, w, h], shape);
    }

    pub(super) fn line(&mut self, from: At, to: At, paint: Paint, width: f64) {
        self.stroke(from, to, paint, width, "");
    }

    pub(super) fn dashes(&mut self, from: At, to: At, paint: Paint) {
        self.stroke(from, to, paint, 1.2, " stroke-dasharray=\"5 4\"");
    }

    fn stroke(&mut self, (x1, y1): At, (x2, y2): At, paint: Paint, width: f64, dashes: &str) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(round);
        let shape = format!(
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"var(--{})\" stroke-width=\"{width}\"{dashes}/>",
            paint.0
        );
        self.add(&[x1, y1, x2, y2], shape);
    }

    /// A line through points.
    pub(super) fn path(&mut self, points: &[At], paint: Paint, width: f64) {
        let numbers: Vec<f64> = points.iter().flat_map(|&(x, y)| [round(x), round(y)]).collect();
        let list: Vec<String> = numbers.chunks(2).map(|xy| format!("{},{}", xy[0], xy[1])).collect();
        let shape = format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"var(--{})\" stroke-width=\"{width}\"/>",
            list.join(" "),
            paint.0
        );
        self.add(&numbers, shape);
    }

    pub(super) fn disc(&mut self, (x, y): At, radius: f64, paint: Paint, opacity: f64) {
        let [x, y, r] = [x, y, radius].map(round);
        let shape = format!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"var(--{})\" opacity=\"{opacity}\"/>",
            paint.0
        );
        self.add(&[x, y, r], shape);
    }

    /// A circle with the paper's colour inside.
    pub(super) fn ring(&mut self, (x, y): At, radius: f64, paint: Paint) {
        let [x, y, r] = [x, y, radius].map(round);
        let shape = format!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"var(--paper)\" stroke=\"var(--{})\" stroke-width=\"1.6\"/>",
            paint.0
        );
        self.add(&[x, y, r], shape);
    }

    /// What a row is and, quieter, more about it; lines behind it are kept off.
    pub(super) fn label(&mut self, (x, y): At, size: i32, name: &str, detail: &str) {
        let [x, y] = [x, y + 0.35 * f64::from(size)].map(round);
        let detail = if detail.is_empty() {
            String::new()
        } else {
            let (small, paint) = (size - 1, QUIET.0);
            format!(
                "<tspan dx=\"6\" font-size=\"{small}\" fill=\"var(--{paint})\">{}</tspan>",
                escaped(detail)
            )
        };
        let (name, paint) = (escaped(name), TEXT.0);
        let shape = format!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"var(--{paint})\" class=\"halo\">{name}{detail}</text>"
        );
        self.add(&[x, y], shape);
    }

    /// A text whose middle line is at the point's height.
    pub(super) fn text(&mut self, (x, y): At, size: i32, anchor: Anchor, paint: Paint, text: &str) {
        let [x, y] = [x, y + 0.35 * f64::from(size)].map(round);
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let shape = format!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\"{anchor} fill=\"var(--{})\">{}</text>",
            paint.0,
            escaped(text)
        );
        self.add(&[x, y], shape);
    }
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

/// The text, or as much of its beginning as is about `width` pixels wide.
pub(super) fn fitting(text: &str, size: i32, width: i32) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for c in text.chars() {
        cut.push(c);
        if text_width(&cut, size) > width - size {
            cut.pop();
            break;
        }
    }
    format!("{}…", cut.trim_end())
}

/// Numbers along one side of a plot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    /// Pixels at the low and at the high end.
    from: f64,
    to: f64,
    /// Between ticks.
    step: f64,
}

impl Axis {
    /// From pixel `from` at `low` to pixel `to` at `high`, with round ticks about `apart` pixels from each other.
    pub(super) fn new([low, high]: [f64; 2], [from, to]: [f64; 2], apart: f64) -> Self {
        let span = (high - low).max(f64::MIN_POSITIVE);
        let least = span * apart / (to - from).abs();
        let power = 10f64.powf(least.log10().floor());
        let step = [1.0, 2.0, 5.0].into_iter().map(|f| f * power).find(|s| *s >= least * 0.999);
        Self { low, high: low + span, from, to, step: step.unwrap_or(10.0 * power) }
    }

    /// The pixel of a value; of the nearer end where it lies outside.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        if value.is_nan() { f64::NAN } else { self.from + share * (self.to - self.from) }
    }

    pub(super) fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-6).ceil();
        let value = |k: u32| (first + f64::from(k)) * self.step;
        (0..200).map(value).take_while(|v| *v <= self.high + 1e-6 * self.step).map(|v| v + 0.0).collect()
    }

    pub(super) fn ends(&self) -> [f64; 2] {
        [self.from, self.to]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_values_stay_on_the_plot() {
        let axis = Axis::new([0.45, 0.9], [100.0, 300.0], 40.0);
        let ticks: Vec<String> = axis.ticks().iter().map(|t| format!("{t:.2}")).collect();
        assert_eq!(ticks, ["0.50", "0.60", "0.70", "0.80", "0.90"]);
        assert!((axis.at(0.45) - 100.0).abs() < 1e-9 && (axis.at(7.0) - 300.0).abs() < 1e-9);
        let flat = Axis::new([0.0, 0.0], [0.0, 100.0], 40.0);
        assert!(flat.at(0.0).is_finite() && flat.ticks().len() < 200);
    }

    #[test]
    fn texts_are_escaped_and_what_is_no_number_is_left_out() {
        let mut canvas = Canvas::new(10.0, 10.0);
        canvas.text((1.0, 1.0), 10, Anchor::Start, TEXT, "<b a=\"x\">&");
        canvas.disc((f64::NAN, 1.0), 1.0, TEXT, 1.0);
        canvas.path(&[(0.0, 0.0), (f64::INFINITY, 1.0)], TEXT, 1.0);
        let svg = canvas.finish("a \"label\"");
        assert!(svg.contains("&lt;b a=&quot;x&quot;&gt;&amp;") && svg.contains("a &quot;label&quot;"));
        assert!(!svg.contains("NaN") && !svg.contains("circle") && !svg.contains("polyline"));
    }

    #[test]
    fn long_texts_end_in_an_ellipsis() {
        assert_eq!(fitting("short", 12, 100), "short");
        let cut = fitting(&"long ".repeat(40), 12, 100);
        assert!(cut.ends_with('…') && text_width(&cut, 12) <= 110, "{cut}");
    }
}
