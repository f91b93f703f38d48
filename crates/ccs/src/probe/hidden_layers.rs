//! What lies between the states and a probe's last weight: nothing, hidden layers with `ReLU`, or what reads all tokens.

use safetensors::tensor::SafeTensors;
use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use crate::Result;
use crate::probe::tensors::tensor;
use crate::probe::token_reader::TokenReader;

/// The part of a probe below its last weight w and bias b: its logit of a state x is wᵀf(x) + b.
#[derive(Debug)]
pub enum HiddenLayers {
    /// f(x) = x.
    Linear,
    /// f(x) = relu(Wₖ(… relu(W₁x + b₁) …) + bₖ), from the states up.
    Mlp(Vec<Layer>),
    /// f reads the states of all tokens of a prompt.
    Tokens(TokenReader),
}

/// One hidden layer.
#[derive(Debug)]
pub struct Layer {
    /// \[outputs, inputs\]
    pub weight: Tensor,
    /// \[outputs\]
    pub bias: Tensor,
}

impl HiddenLayers {
    /// Whether a probe is linear in one state.
    pub fn is_linear(&self) -> bool {
        matches!(self, Self::Linear)
    }

    /// Whether a probe reads the states of all tokens of a prompt.
    pub fn reads_tokens(&self) -> bool {
        matches!(self, Self::Tokens(_))
    }

    /// Its layers; none for a linear probe, and one that reads all tokens.
    pub fn layers(&self) -> &[Layer] {
        match self {
            Self::Linear | Self::Tokens(_) => &[],
            Self::Mlp(layers) => layers,
        }
    }

    /// f(x), in f64; of a probe that reads all tokens, x is f of them already.
    ///
    /// # Shapes
    /// `x`: \[N, D\], f64; the result: \[N, H\] with H the last layer's outputs, or D.
    ///
    /// # Errors
    /// Another D.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let mut h = x.f_alias()?;
        for layer in self.layers() {
            let of =
                |t: &Tensor| -> Result<Tensor> { Ok(t.f_to_device(x.device())?.f_to_kind(Kind::Double)?) };
            h = of(&layer.bias)?.f_addmm(&h, &of(&layer.weight)?.f_tr()?)?.f_relu()?;
        }
        Ok(h)
    }

    /// Its tensors under their names in a probe's file.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let of_tokens = match self {
            Self::Tokens(reader) => reader.tensors(),
            Self::Linear | Self::Mlp(_) => Vec::new(),
        };
        let layers = self.layers().iter().enumerate().flat_map(|(index, layer)| {
            let name = |part: &str| format!("hidden.{index}.{part}");
            [(name("weight"), &layer.weight), (name("bias"), &layer.bias)]
        });
        layers.chain(of_tokens)
    }

    /// The head of `count` layers in a probe's file, of which the last gives `outputs` numbers, and what it takes.
    pub(crate) fn read(file: &SafeTensors, count: usize, outputs: usize) -> Result<(Self, usize), String> {
        if count == 0 {
            return Ok((Self::Linear, outputs));
        }
        let (mut layers, mut above) = (Vec::new(), outputs);
        for index in (0..count).rev() {
            let get = |part: &str, shape: &[_]| tensor(file, &format!("hidden.{index}.{part}"), shape);
            let weight = get("weight", &[Some(above), None])?;
            let inputs = weight.dims2("weight").map_err(|e| e.to_string())?.1 as usize;
            layers.push(Layer { weight, bias: get("bias", &[Some(above)])? });
            above = inputs;
        }
        layers.reverse();
        Ok((Self::Mlp(layers), above))
    }
}
