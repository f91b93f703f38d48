//! A compiled template. The engine's operators are exchanged for ours, where Python's do otherwise or fail and the
//! engine's do not: `~`, `+`, comparisons, `in`, `%` and slices.
//!
//! The engine has no public way to its operators, so this uses its unstable interface (its version is pinned): each
//! instruction of an operator becomes the call of a filter with the operator's name, of as many arguments.

use minijinja::machinery::{CodeGenerator, Instruction, Instructions, eval, make_string_output, parse};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Dialect, environment, limits, source, undefined};

/// The template's own name, as Jinja's messages show it.
const NAME: &str = "template";

/// A compiled template.
pub struct Engine<'source> {
    dialect: Dialect,
    instructions: Instructions<'source>,
    blocks: BTreeMap<&'source str, Instructions<'source>>,
}

impl std::fmt::Debug for Engine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

impl<'source> Engine<'source> {
    /// # Errors
    /// What is no Jinja, with the line; what this engine reads otherwise than Python's jinja2 does.
    pub fn compile(text: &'source str, dialect: Dialect) -> Result<Self, Error> {
        source::check(text, dialect)?;
        let syntax = match dialect {
            Dialect::Data => SyntaxConfig::default(),
            Dialect::Chat => SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?,
        };
        let tree = parse(text, NAME, syntax)?;
        let mut generator = CodeGenerator::new(NAME, text);
        generator.compile_stmt(&tree);
        let (mut instructions, blocks) = generator.finish();
        exchange(&mut instructions)?;
        Ok(Self { dialect, instructions, blocks })
    }

    /// # Errors
    /// Whatever Jinja refuses, undefined values and too much work.
    pub fn render(&self, variables: Value) -> Result<String, Error> {
        self.run(environment::shared(self.dialect), variables)
    }

    /// [`render`](Self::render) with `open` before and `close` after every value that the template prints.
    pub fn render_marked(&self, variables: Value, open: char, close: char) -> Result<String, Error> {
        let mut marking = environment::new(self.dialect);
        marking.set_formatter(move |out: &mut Output, state: &mut State, value: &Value| {
            out.write_char(open)?;
            environment::print(out, state, value)?;
            Ok(out.write_char(close)?)
        });
        self.run(&marking, variables)
    }

    fn run(&self, environment: &Environment<'static>, variables: Value) -> Result<String, Error> {
        let mut text = String::new();
        let mut output = make_string_output(&mut text);
        eval(environment, &self.instructions, variables, &self.blocks, &mut output, AutoEscape::None)?;
        if text.len() > limits::LONGEST {
            return Err(limits::too_long());
        }
        Ok(text)
    }
}

fn exchange(instructions: &mut Instructions) -> Result<(), Error> {
    for at in 0.. {
        let line = instructions.get_line(at);
        let Some(instruction) = instructions.get_mut(at) else { break };
        let (operator, operands) = match instruction {
            Instruction::LoadConst(value) if value.is_undefined() => {
                *value = undefined::nothing();
                continue;
            }
            Instruction::StringConcat => ("~", 2),
            Instruction::Slice => ("[:]", 4),
            Instruction::Add => ("+", 2),
            Instruction::Rem => ("%", 2),
            Instruction::Eq => ("==", 2),
            Instruction::Ne => ("!=", 2),
            Instruction::Lt => ("<", 2),
            Instruction::Lte => ("<=", 2),
            Instruction::Gt => (">", 2),
            Instruction::Gte => (">=", 2),
            Instruction::In => ("in", 2),
            Instruction::CompareAndPreserve(_) => {
                return Err(refused(line, "comparisons in a chain: write a < b and b < c"));
            }
            Instruction::PushAutoEscape => return Err(refused(line, "autoescape: prompts are no HTML")),
            _ => continue,
        };
        // No place is kept for the filter: the engine keeps fifty.
        *instruction = Instruction::ApplyFilter(operator, Some(operands), u8::MAX);
    }
    Ok(())
}

fn refused(line: Option<usize>, what: &str) -> Error {
    let line = line.map_or_else(String::new, |line| format!(" (line {line})"));
    Error::new(ErrorKind::SyntaxError, format!("there is no {what}{line}"))
}
