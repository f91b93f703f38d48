//! Weights into memory: from a checkpoint tensor by tensor, or drawn at random.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor};

use super::{Block, Llama, Precision};
use crate::checkpoint::{BlockWeight, Checkpoint, Weight};
use crate::config::Config;
use crate::error::{Error, Result};

impl Llama {
    /// Reads a checkpoint's weights, converting each as it is copied: peak memory is the model plus a
    /// few times its largest tensor.
    ///
    /// # Errors
    /// A weight that is not finite, or what LibTorch refuses (memory, device).
    pub fn load(checkpoint: &Checkpoint, precision: Precision, device: Device) -> Result<Self> {
        tracing::debug!("loading {} ({}) as {precision}", checkpoint.path().display(), checkpoint.layout());
        let started = std::time::Instant::now();
        let llama =
            Self::assemble(checkpoint.config(), precision, device, |weight| checkpoint.tensor(weight))?;
        tracing::debug!("loaded in {:.1} s", started.elapsed().as_secs_f64());
        Ok(llama)
    }

    /// A model with random weights: matrices of variance 1/fan-in, gains of one, embeddings of variance one.
    ///
    /// The same seed gives the same weights on every machine.
    ///
    /// # Errors
    /// What LibTorch refuses.
    pub fn random(config: &Config, seed: u64, precision: Precision, device: Device) -> Result<Self> {
        let mut stream = 0;
        Self::assemble(config, precision, device, |weight| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(stream); // one stream a weight
            stream += 1;
            let shape = weight.shape(config);
            let [_, fan_in] = *shape else { return Ok(Tensor::f_ones(&shape, (Kind::Float, Device::Cpu))?) };
            let spread = if weight == Weight::Embed { 1.0 } else { (fan_in as f32).sqrt().recip() };
            let count = shape.iter().product::<i64>() as usize;
            let draw = |_| -> f32 { spread * Distribution::<f32>::sample(&StandardNormal, &mut rng) };
            let values: Vec<f32> = (0..count).map(draw).collect();
            Ok(Tensor::f_from_slice(&values)?.f_view(shape.as_slice())?)
        })
    }

    /// The weights that a trainer moves, named, as they lie in memory (queries, keys and values are one, gate and up
    /// another). Tracking gradients is switched on for all of them.
    ///
    /// # Errors
    /// What LibTorch refuses.
    pub fn trainable(&self) -> Result<Vec<(String, Tensor)>> {
        let mut named = vec![("embed".to_owned(), &self.embed)];
        for (i, block) in self.blocks.iter().enumerate() {
            let parts = [
                ("ln1_gain", &block.ln1_gain),
                ("w_qkv", &block.w_qkv),
                ("w_o", &block.w_o),
                ("ln2_gain", &block.ln2_gain),
                ("w_gate_up", &block.w_gate_up),
                ("w_down", &block.w_down),
            ];
            named.extend(parts.map(|(name, tensor)| (format!("blocks.{i}.{name}"), tensor)));
        }
        named.push(("final_gain".to_owned(), &self.final_gain));
        named.extend(self.unembed.as_ref().map(|unembed| ("unembed".to_owned(), unembed)));
        named.into_iter().map(|(name, tensor)| Ok((name, tensor.f_set_requires_grad(true)?))).collect()
    }

    /// Puts a model together from a source of weights, fusing those that read the same input.
    fn assemble(
        config: &Config,
        precision: Precision,
        device: Device,
        mut source: impl FnMut(Weight) -> Result<Tensor>,
    ) -> Result<Self> {
        torch_runtime::check()?;
        if let Some(reason) = config.problem() {
            return Err(Error::Config { reason });
        }
        let _no_gradients = tch::no_grad_guard();
        let mut fused = |weights: &[Weight], kind: Kind| -> Result<Tensor> {
            let shapes: Vec<_> = weights.iter().map(|w| w.shape(config)).collect();
            let mut shape = shapes[0].clone();
            shape[0] = shapes.iter().map(|s| s[0]).sum();
            let whole = Tensor::f_empty(&shape, (kind, device))?;
            let mut row = 0;
            for (&weight, shape) in weights.iter().zip(&shapes) {
                whole.f_narrow(0, row, shape[0])?.f_copy_(&source(weight)?)?; // copies and converts
                row += shape[0];
            }
            Ok(whole)
        };
        let (stream, product) = (precision.stream(), precision.product());
        let embed = fused(&[Weight::Embed], stream)?;
        let blocks = (0..config.n_layers)
            .map(|i| {
                let w = |part| Weight::Block(i, part);
                Ok(Block {
                    ln1_gain: fused(&[w(BlockWeight::Ln1)], stream)?,
                    w_qkv: fused(&[w(BlockWeight::Q), w(BlockWeight::K), w(BlockWeight::V)], product)?,
                    w_o: fused(&[w(BlockWeight::O)], product)?,
                    ln2_gain: fused(&[w(BlockWeight::Ln2)], stream)?,
                    w_gate_up: fused(&[w(BlockWeight::Gate), w(BlockWeight::Up)], product)?,
                    w_down: fused(&[w(BlockWeight::Down)], product)?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let final_gain = fused(&[Weight::FinalNorm], stream)?;
        let unembed = match config.tied_embeddings {
            false => Some(fused(&[Weight::Unembed], product)?),
            true if stream != product => Some(embed.f_to_kind(product)?),
            true => None,
        };
        Ok(Self {
            config: config.clone(),
            precision,
            device,
            embed,
            blocks,
            final_gain,
            unembed,
            rope: Tensor::f_from_slice(&config.rope_frequencies())?.f_to_device(device)?,
        })
    }
}
