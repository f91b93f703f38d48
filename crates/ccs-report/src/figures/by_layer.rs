//! The plots by layer, as SVG: probes as points with their intervals, random directions and zero-shot as bands, what
//! needs no probe as a dashed line.
//!
//! plotters places everything on whole units, so a plot is drawn ten times as large as it is shown.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::legend::{self, Swatch};
use crate::Interval;
use crate::{Error, Method, Result};
use crate::{Evaluation, Report};

/// Units to a pixel.
pub(super) const SCALE: i32 = 10;

/// What is plotted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    Accuracy,
    Auroc,
}

impl Quantity {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Accuracy => "Test accuracy by layer",
            Self::Auroc => "Test AUROC by layer",
        }
    }

    fn of(self, test: &Evaluation) -> Option<(f64, Option<Interval>)> {
        let (value, ci) = match self {
            Self::Accuracy => (test.accuracy, test.accuracy_ci),
            Self::Auroc => (test.auroc?, test.auroc_ci),
        };
        value.is_finite().then(|| (value, ci.filter(|ci| ci.iter().all(|v| v.is_finite()))))
    }

    fn tick(self, value: f64) -> String {
        match self {
            Self::Accuracy => format!("{:.0} %", 100.0 * value),
            Self::Auroc => format!("{value:.2}"),
        }
    }

    /// What needs no probe, and how it is called.
    fn reference(self, report: &Report) -> (f64, String) {
        match self {
            Self::Accuracy => (report.majority, format!("Majority, {:.1} %", 100.0 * report.majority)),
            Self::Auroc => (0.5, "Chance, 0.5".to_owned()),
        }
    }
}

/// Size in pixels and of the text in them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) text: i32,
}

/// For pages as wide as a desk's.
pub(super) const WIDE: Format = Format { width: 960, height: 430, text: 13 };
/// For phones.
pub(super) const NARROW: Format = Format { width: 360, height: 380, text: 12 };

/// A colour with a name in the page's style sheet. The values are Okabe and Ito's, safe for the colour-blind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ink {
    rgb: RGBColor,
    variable: &'static str,
}

pub(super) const CCS: Ink = Ink { rgb: RGBColor(0x00, 0x72, 0xB2), variable: "--ccs" };
pub(super) const LR: Ink = Ink { rgb: RGBColor(0xD5, 0x5E, 0x00), variable: "--lr" };
pub(super) const ZERO_SHOT: Ink = Ink { rgb: RGBColor(0x00, 0x9E, 0x73), variable: "--zero-shot" };
pub(super) const RANDOM: Ink = Ink { rgb: RGBColor(0x8A, 0x8A, 0x8A), variable: "--random" };
pub(super) const TEXT: Ink = Ink { rgb: RGBColor(0x22, 0x22, 0x22), variable: "--text" };
const QUIET: Ink = Ink { rgb: RGBColor(0x5F, 0x5F, 0x5F), variable: "--quiet" };
const LINE: Ink = Ink { rgb: RGBColor(0xDD, 0xDD, 0xDD), variable: "--line" };
pub(super) const PAPER: Ink = Ink { rgb: RGBColor(0xFF, 0xFF, 0xFF), variable: "--paper" };
const INKS: [Ink; 8] = [CCS, LR, ZERO_SHOT, RANDOM, TEXT, QUIET, LINE, PAPER];

impl Ink {
    /// Filled, with this opacity.
    pub(super) fn fill(self, opacity: f64) -> ShapeStyle {
        self.rgb.mix(opacity).filled()
    }

    /// A line so many tenths of a pixel wide.
    pub(super) fn stroke(self, width: u32) -> ShapeStyle {
        self.rgb.stroke_width(width)
    }

    /// Text of so many pixels.
    pub(super) fn text(self, pixels: i32, at: Pos) -> TextStyle<'static> {
        // plotters writes a font size that is smaller than asked for by this factor.
        let size = f64::from(pixels * SCALE) * 1.24;
        TextStyle { font: ("sans-serif", size).into_font(), color: self.rgb.to_backend_color(), pos: at }
    }

    fn hex(self) -> String {
        let RGBColor(r, g, b) = self.rgb;
        format!("#{r:02X}{g:02X}{b:02X}")
    }
}

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Failure = DrawingAreaErrorKind<std::io::Error>;
pub(super) type Drawn = std::result::Result<(), Failure>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Whether a plot says what it is; on the page a heading does.
#[derive(Debug, Clone, Copy)]
enum Heading {
    Title,
    None,
}

/// A file of its own: dark on white.
pub(super) fn standalone(report: &Report, quantity: Quantity) -> Result<String> {
    let Format { width, height, .. } = WIDE;
    let body = draw(report, quantity, WIDE, Heading::Title)?;
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {} {}\" role=\"img\">\n<title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"{}\"/>\n{body}",
        width * SCALE,
        height * SCALE,
        quantity.title(),
        PAPER.hex(),
    ))
}

/// A part of the page, in the colours of its style sheet.
pub(super) fn inline(report: &Report, quantity: Quantity, format: Format) -> Result<String> {
    let mut body = draw(report, quantity, format, Heading::None)?;
    for ink in INKS {
        body = body.replace(&format!("\"{}\"", ink.hex()), &format!("\"var({})\"", ink.variable));
    }
    Ok(format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n{body}",
        format.width * SCALE,
        format.height * SCALE,
        quantity.title(),
    ))
}

/// The inside of the SVG with its closing tag, without the opening one.
fn draw(report: &Report, quantity: Quantity, format: Format, heading: Heading) -> Result<String> {
    let failed = |reason: String| Error::Write { what: "a plot", reason };
    let mut svg = String::new();
    {
        let size = ((format.width * SCALE) as u32, (format.height * SCALE) as u32);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        plot(&root, report, quantity, format, heading)
            .and_then(|()| root.present())
            .map_err(|e| failed(e.to_string()))?;
    }
    let (_, body) = svg.split_once(">\n").ok_or_else(|| failed("it has no first tag".to_owned()))?;
    Ok(body.to_owned())
}

/// One method at one layer.
#[derive(Debug, Clone, Copy)]
struct Point {
    /// The layer.
    x: f64,
    /// Half-way to the layers on either side.
    reach: Interval,
    value: f64,
    ci: Option<Interval>,
    /// A constant guess stands in.
    degenerate: bool,
    chosen: bool,
}

/// A method's points, ascending by layer.
fn points(report: &Report, method: Method, quantity: Quantity) -> Vec<Point> {
    let x = |at: usize| report.layers.get(at).map(|l| l.layer as f64);
    let chosen = report.chosen.get(&method).and_then(|c| c.layer);
    let point = |(at, layer): (usize, &crate::LayerReport)| {
        let (value, ci) = quantity.of(&layer.methods.get(&method)?.test)?;
        let own = layer.layer as f64;
        let before = at.checked_sub(1).and_then(x).unwrap_or(own - 1.0);
        let after = x(at + 1).unwrap_or(own + 1.0);
        Some(Point {
            x: own,
            reach: [f64::midpoint(before, own), f64::midpoint(own, after)],
            value,
            ci,
            degenerate: (layer.degenerate && method != Method::ZERO_SHOT) || report.lacks_fit(layer, method),
            chosen: chosen == Some(layer.layer),
        })
    };
    report.layers.iter().enumerate().filter_map(point).collect()
}

/// What is drawn, and what its axes must hold.
struct Plot {
    ccs: Vec<Point>,
    lr: Vec<Point>,
    zero_shot: Vec<Point>,
    random: Vec<Point>,
    reference: (f64, String),
    x: Interval,
    y: Interval,
    /// The least distance between two layers.
    step: f64,
}

impl Plot {
    fn new(report: &Report, quantity: Quantity) -> Self {
        let of = |method| points(report, method, quantity);
        let mut random = of(Method::RANDOM);
        random.iter_mut().filter(|p| p.degenerate).for_each(|p| p.ci = None);
        let reference = quantity.reference(report);
        let (ccs, lr, zero_shot) = (of(Method::CCS), of(Method::LR), of(Method::ZERO_SHOT));
        let layers: Vec<f64> = report.layers.iter().map(|l| l.layer as f64).collect();
        let [first, last] = [layers.first(), layers.last()].map(|l| l.copied().unwrap_or_default());
        let pad = (0.015 * (last - first)).max(0.6);
        let step = layers.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
        let shown = [&ccs, &lr, &zero_shot, &random].into_iter().flatten();
        let values = shown.flat_map(|p| std::iter::once(p.value).chain(p.ci.into_iter().flatten()));
        let y = y_range(values.chain([reference.0]));
        let step = if step.is_finite() { step } else { 1.0 };
        Self { ccs, lr, zero_shot, random, reference, x: [first - pad, last + pad], y, step }
    }

    fn legend(&self, report: &Report) -> Vec<(Swatch, String)> {
        let mut items = Vec::new();
        let mut add = |there: bool, swatch, text: String| {
            if there {
                items.push((swatch, text));
            }
        };
        let title = |method: Method| report.title(method).to_owned();
        add(!self.ccs.is_empty(), Swatch::Circles, title(Method::CCS));
        add(!self.lr.is_empty(), Swatch::Squares, title(Method::LR));
        add(!self.zero_shot.is_empty(), Swatch::ZeroShot, title(Method::ZERO_SHOT));
        let band = self.random.iter().any(|p| p.ci.is_some());
        add(band, Swatch::Band, "Random directions, central 95 %".to_owned());
        add(true, Swatch::Dashes, self.reference.1.clone());
        let chosen: Vec<String> = [(Method::CCS, "CCS"), (Method::LR, "LR")]
            .into_iter()
            .filter_map(|(m, name)| Some(format!("{name} layer {}", report.chosen.get(&m)?.layer?)))
            .collect();
        add(!chosen.is_empty(), Swatch::Ring, format!("Chosen: {}", chosen.join(", ")));
        let hollow = self.ccs.iter().chain(&self.lr).any(|p| p.degenerate);
        add(hollow, Swatch::Hollow, "Nothing to fit".to_owned());
        items
    }
}

/// Steps of 0.05 around the values, at least 0.2 in all, within 0 and 1 but for a margin so that no point is cut.
fn y_range(values: impl Iterator<Item = f64>) -> Interval {
    let (low, high) = values.fold((1.0f64, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
    let low = ((low - 0.01) * 20.0).floor() / 20.0;
    let high = ((high + 0.01) * 20.0).ceil() / 20.0;
    let missing = (0.2 - (high - low)).max(0.0) / 2.0;
    [(low - missing).max(-0.02), (high + missing).min(1.02)]
}

fn plot(root: &Area<'_>, report: &Report, quantity: Quantity, format: Format, heading: Heading) -> Drawn {
    let plot = Plot::new(report, quantity);
    let margin = 8 * SCALE;
    let top = match heading {
        Heading::Title => {
            let title = TEXT.text(format.text + 2, Pos::new(HPos::Left, VPos::Center));
            root.draw(&Text::new(quantity.title(), (margin, 14 * SCALE), title))?;
            30
        }
        Heading::None => 4,
    };
    let top = legend::draw(root, &plot.legend(report), format, top)?;

    let (_, below) = root.split_vertically(top * SCALE);
    let mut chart = ChartBuilder::on(&below)
        .margin_top(14 * SCALE)
        .margin_right(margin)
        .margin_left(2 * SCALE)
        .margin_bottom(4 * SCALE)
        .x_label_area_size(42 * SCALE)
        .y_label_area_size(48 * SCALE)
        .build_cartesian_2d(plot.x[0]..plot.x[1], plot.y[0]..plot.y[1])?;
    let room = f64::from(format.width - 58);
    mesh(&mut chart, quantity, format, room)?;

    stepped_band(&mut chart, &plot.random, RANDOM, 0.28)?;
    stepped_band(&mut chart, &plot.zero_shot, ZERO_SHOT, 0.12)?;
    let ends = [(plot.x[0], plot.reference.0), (plot.x[1], plot.reference.0)];
    chart.draw_series([dashes(ends, TEXT)])?;
    stepped_line(&mut chart, &plot.random, RANDOM, 12)?;
    stepped_line(&mut chart, &plot.zero_shot, ZERO_SHOT, 18)?;

    let pixel = (plot.x[1] - plot.x[0]) / room; // in layers
    let spacing = plot.step / pixel; // in pixels
    let mark = Mark { radius: (spacing * 0.3).clamp(1.4, 4.0), whiskers: spacing >= 14.0 };
    let both = !plot.ccs.is_empty() && !plot.lr.is_empty() && mark.whiskers;
    let dodge = if both { (0.14 * spacing).clamp(2.0, 6.0) * pixel } else { 0.0 };
    let shifted = |points: &[Point], by: f64| -> Vec<Point> {
        points.iter().map(|p| Point { x: p.x + by, ..*p }).collect()
    };
    probe(&mut chart, &shifted(&plot.lr, dodge), LR, &mark, Shape::Square)?;
    probe(&mut chart, &shifted(&plot.ccs, -dodge), CCS, &mark, Shape::Circle)
}

fn mesh(chart: &mut Chart<'_, '_>, quantity: Quantity, format: Format, room: f64) -> Drawn {
    let label = QUIET.text(format.text - 1, Pos::new(HPos::Center, VPos::Center));
    let whole = |x: &f64| {
        let near = x.round();
        if (x - near).abs() < 1e-6 && near >= 0.0 { format!("{}", near as u64) } else { String::new() }
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(LINE.stroke(10))
        .light_line_style(TRANSPARENT)
        .axis_style(LINE.stroke(10))
        .label_style(label.clone())
        .axis_desc_style(label)
        .set_tick_mark_size(LabelAreaPosition::Left, 3 * SCALE)
        .set_tick_mark_size(LabelAreaPosition::Bottom, 0)
        .x_labels((room / 45.0) as usize)
        .x_label_formatter(&whole)
        .x_desc("Layer (0 is the embedding)")
        .y_labels(8)
        .y_label_formatter(&|y| quantity.tick(*y))
        .draw()
}

/// The intervals of what is no curve over layers: each as wide as its layer.
fn stepped_band(chart: &mut Chart<'_, '_>, points: &[Point], ink: Ink, opacity: f64) -> Drawn {
    let side = |run: &[Point], end: usize| -> Vec<(f64, f64)> {
        run.iter().flat_map(|p| p.reach.map(|x| (x, p.ci.map_or(p.value, |ci| ci[end])))).collect()
    };
    let [left, right] = edges(chart);
    for run in points.split(|p| p.ci.is_none()).filter(|run| !run.is_empty()) {
        let mut outline = side(run, 1);
        outline.extend(side(run, 0).into_iter().rev());
        for (x, _) in &mut outline {
            *x = x.clamp(left, right);
        }
        chart.draw_series([Polygon::new(outline, ink.fill(opacity))])?;
    }
    Ok(())
}

fn stepped_line(chart: &mut Chart<'_, '_>, points: &[Point], ink: Ink, width: u32) -> Drawn {
    let [left, right] = edges(chart);
    for run in points.split(|p| p.degenerate).filter(|run| !run.is_empty()) {
        let line: Vec<_> =
            run.iter().flat_map(|p| p.reach.map(|x| (x.clamp(left, right), p.value))).collect();
        chart.draw_series([PathElement::new(line, ink.stroke(width))])?;
    }
    Ok(())
}

/// The first and last x of the chart.
fn edges(chart: &Chart<'_, '_>) -> Interval {
    let range = chart.x_range();
    [range.start, range.end]
}

/// How a probe's points look.
struct Mark {
    /// In pixels.
    radius: f64,
    /// Intervals as lines at each point; else as one ribbon, where points are dense.
    whiskers: bool,
}

/// The shape of a probe's points, so that colour is not all that tells them apart.
#[derive(Clone, Copy)]
enum Shape {
    Circle,
    Square,
}

impl Shape {
    fn draw(self, chart: &mut Chart<'_, '_>, at: (f64, f64), radius: i32, style: ShapeStyle) -> Drawn {
        match self {
            Self::Circle => chart.draw_series([Circle::new(at, radius, style)])?,
            Self::Square if style.filled => {
                let corners = [(-radius, -radius), (radius, radius)];
                chart.draw_series([EmptyElement::at(at) + Rectangle::new(corners, style)])?
            }
            // plotters' SVG rectangles have no line width.
            Self::Square => {
                let (low, high) = (-radius, radius);
                let corners = vec![(low, low), (high, low), (high, high), (low, high), (low, low)];
                chart.draw_series([EmptyElement::at(at) + PathElement::new(corners, style)])?
            }
        };
        Ok(())
    }
}

/// A probe's line, intervals, and a marker at each layer; hollow where nothing was fitted, ringed where chosen.
fn probe(chart: &mut Chart<'_, '_>, points: &[Point], ink: Ink, mark: &Mark, shape: Shape) -> Drawn {
    for run in points.split(|p| p.degenerate).filter(|run| !run.is_empty()) {
        if !mark.whiskers && run.len() > 1 {
            let side = |end: usize| run.iter().filter_map(move |p| Some((p.x, p.ci?[end])));
            let outline: Vec<_> = side(1).chain(side(0).collect::<Vec<_>>().into_iter().rev()).collect();
            chart.draw_series([Polygon::new(outline, ink.fill(0.16))])?;
        }
        let line: Vec<_> = run.iter().map(|p| (p.x, p.value)).collect();
        chart.draw_series([PathElement::new(line, ink.stroke(16))])?;
    }
    let radius = (mark.radius * f64::from(SCALE)) as i32;
    for p in points {
        let at = (p.x, p.value);
        if let (Some([low, high]), true) = (p.ci, mark.whiskers || points.len() == 1) {
            chart.draw_series([PathElement::new(vec![(p.x, low), (p.x, high)], ink.stroke(11))])?;
        }
        let style = if p.degenerate { PAPER.fill(1.0) } else { ink.fill(1.0) };
        shape.draw(chart, at, radius, style)?;
        if p.degenerate {
            shape.draw(chart, at, radius, ink.stroke(13))?;
        }
        if p.chosen {
            chart.draw_series([Circle::new(at, radius + 5 * SCALE, ink.stroke(18))])?;
        }
    }
    Ok(())
}

/// A dashed line between two points.
pub(super) fn dashes<T>(ends: [T; 2], ink: Ink) -> DashedPathElement<std::array::IntoIter<T, 2>, i32>
where
    T: Clone,
{
    DashedPathElement::new(ends, 5 * SCALE, 4 * SCALE, ink.stroke(12))
}
