//! The two kinds of templates.

/// Whose Jinja a template is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// jinja2's plain environment with promptsource's `zip`, for templates of data: any use of a value that is not there
    /// is an error that names it.
    Data,
    /// transformers' environment for chat templates: `trim_blocks` and `lstrip_blocks`, `break` and `continue`,
    /// `{% generation %}` blocks, `raise_exception`, a `tojson` of its own, and jinja2's own rules for values that are
    /// not there. `strftime_now` is a variable ([`Moment::strftime_now`](super::Moment::strftime_now)).
    Chat,
}
