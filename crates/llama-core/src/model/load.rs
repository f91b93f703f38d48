//! Weights into memory: from a checkpoint tensor by tensor, or drawn at random.

use std::ops::Range;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor};

use super::blocks::{Assembly, Blocks, Source};
use super::kernels::Kernels;
use super::{Llama, Precision};
use crate::checkpoint::{Checkpoint, Order, Wanted, Weight};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::shard::Shard;

impl Llama {
    /// Reads a checkpoint's weights. Each is converted while it is copied from the mapped file to its destination, and
    /// the file's pages are released: peak memory is the model in the types that it computes in (plus one tensor if
    /// weights are quantized).
    ///
    /// # Errors
    /// A weight that is not finite, or what LibTorch refuses (memory, device).
    pub fn load(checkpoint: &Checkpoint, precision: Precision, device: Device) -> Result<Self> {
        tracing::debug!("loading {} ({}) as {precision}", checkpoint.path().display(), checkpoint.layout());
        let started = std::time::Instant::now();
        let mut source = |weight, wanted: Wanted, into: &Tensor| checkpoint.copy(weight, wanted, into);
        let config = checkpoint.config();
        let of = (None, 0..config.n_layers);
        let llama = Self::assemble(config, precision, device, &mut source, of, Shard::whole(config))?;
        tracing::debug!("loaded in {:.1} s", started.elapsed().as_secs_f64());
        Ok(llama)
    }

    /// A model that need not fit into memory: embedding, final norm, and unembedding are loaded; the blocks stay on
    /// disk, and every pass reads them one after the other, the next one while one is computed. [`Llama::forward_all`]
    /// takes many batches through each block. Memory: [`Llama::streamed_bytes`].
    ///
    /// ```no_run
    /// use llama_core::{Batch, Capture, Checkpoint, HookSet, Llama, Precision, Forward, Tokens, tch::Device};
    ///
    /// let checkpoint = Checkpoint::open("llama-65b")?;
    /// let llama = Llama::streamed(&checkpoint, Precision::Mixed, Device::Cpu)?;
    /// let batches = [Batch::new(&[[1, 2, 3]])?, Batch::new(&[[1, 4, 5]])?];
    /// let layers = HookSet::residual_stream(llama.config().n_layers);
    /// let mut captures: Vec<_> = batches.iter().map(|_| Capture::new(layers.clone(), Tokens::Last)).collect();
    /// // The weights are read once.
    /// llama.forward_all(batches.iter().zip(&mut captures).map(|(batch, capture)| (batch, Forward::new().hook(capture))))?;
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Llama::load`]; those of blocks come from the passes.
    pub fn streamed(checkpoint: &Checkpoint, precision: Precision, device: Device) -> Result<Self> {
        let mut source = |weight, wanted: Wanted, into: &Tensor| checkpoint.copy(weight, wanted, into);
        let config = checkpoint.config();
        let of = (Some(checkpoint.clone()), 0..config.n_layers);
        Self::assemble(config, precision, device, &mut source, of, Shard::whole(config))
    }

    /// The bytes that a model's weights take in memory.
    pub fn resident_bytes(config: &Config, precision: Precision) -> u64 {
        Self::stage_bytes(config, precision, &(0..config.n_layers), false)
    }

    /// The bytes that a streamed model's weights take in memory: everything outside the blocks, and two blocks.
    pub fn streamed_bytes(config: &Config, precision: Precision) -> u64 {
        Self::stage_bytes(config, precision, &(0..config.n_layers), true)
    }

    /// A model with random weights: matrices of variance 1/fan-in, gains of one, embeddings of variance one.
    ///
    /// The same seed gives the same weights on every machine.
    ///
    /// # Errors
    /// What LibTorch refuses.
    pub fn random(config: &Config, seed: u64, precision: Precision, device: Device) -> Result<Self> {
        let mut source = |weight, _: Wanted, into: &Tensor| {
            Order::AsStored.copy(&random_weight(config, seed, weight)?, into)
        };
        let of = (None, 0..config.n_layers);
        Self::assemble(config, precision, device, &mut source, of, Shard::whole(config))
    }

    /// A model with random weights of the same distributions, drawn on the device itself, by LibTorch's generator as it
    /// stands: a large one in seconds, to measure with. Every call gives other weights.
    ///
    /// # Errors
    /// What LibTorch refuses.
    pub fn random_on(config: &Config, precision: Precision, device: Device) -> Result<Self> {
        let mut source = |weight: Weight, _: Wanted, into: &Tensor| {
            let mut into = into.f_alias()?;
            let filled = match spread(config, weight) {
                Some(spread) => into.f_normal_(0.0, f64::from(spread)),
                None => into.f_fill_(1.0),
            };
            Ok(filled.map(drop)?)
        };
        let of = (None, 0..config.n_layers);
        Self::assemble(config, precision, device, &mut source, of, Shard::whole(config))
    }

    /// The weights to train, by name, as they lie in memory (queries, keys, and values are one tensor, gate and up
    /// another). Gradient tracking is switched on for all of them.
    ///
    /// # Errors
    /// A streamed model, a stage, a rank's part, one with packed weights ([`crate::Products::Packed`]), or what LibTorch refuses.
    pub fn trainable(&self) -> Result<Vec<(String, Tensor)>> {
        let Blocks::Resident(blocks) = &self.blocks else {
            return Err(Error::Streamed { what: "its weights cannot be trained" });
        };
        if !(self.is_first_stage() && self.is_last_stage()) {
            return Err(Error::Stage { reason: "its weights cannot be trained".to_owned() });
        }
        self.check_whole("its weights cannot be trained")?;
        let mut named = vec![("embed".to_owned(), &self.embed)];
        for (i, block) in blocks.iter().enumerate() {
            let parts = [
                ("ln1_gain", block.ln1_gain.as_ref()),
                ("w_qkv", Some(block.w_qkv.trainable()?)),
                ("b_qkv", block.b_qkv.as_ref()),
                ("q_gain", block.q_gain.as_ref()),
                ("k_gain", block.k_gain.as_ref()),
                ("w_o", Some(block.w_o.trainable()?)),
                ("b_o", block.b_o.as_ref()),
                ("ln1_post_gain", block.ln1_post_gain.as_ref()),
                ("ln2_gain", block.ln2_gain.as_ref()),
                ("w_gate_up", Some(block.w_gate_up.trainable()?)),
                ("w_down", Some(block.w_down.trainable()?)),
                ("ln2_post_gain", block.ln2_post_gain.as_ref()),
            ];
            let there = parts.into_iter().filter_map(|(name, part)| Some((name, part?)));
            named.extend(there.map(|(name, tensor)| (format!("blocks.{i}.{name}"), tensor)));
        }
        named.push(("final_gain".to_owned(), &self.final_gain));
        named.extend(self.unembed.as_ref().map(|unembed| ("unembed".to_owned(), unembed)));
        named.into_iter().map(|(name, tensor)| Ok((name, tensor.f_set_requires_grad(true)?))).collect()
    }

    /// Puts a model, the stage of it that has these blocks, or a rank's share, together from a source of weights, fusing
    /// those that read the same input; with `streamed`, its blocks stay where they are.
    pub(super) fn assemble(
        config: &Config,
        precision: Precision,
        device: Device,
        source: &mut dyn Source,
        (streamed, stage): (Option<Checkpoint>, Range<usize>),
        shard: Shard,
    ) -> Result<Self> {
        torch_runtime::check()?;
        if let Some(reason) = config.problem() {
            return Err(Error::Config { reason });
        }
        let _no_gradients = tch::no_grad_guard();
        let kernels = Kernels::default();
        let assembly = Assembly { config, precision, device, kernels, share: shard.share() };
        let (stream, product) = (precision.stream(), precision.product());
        let (begins, ends) = (stage.start == 0, stage.end == config.n_layers);
        // A stage that does not begin has no embedding, one that does not end no norm: nothing asks for them.
        let none = || Tensor::f_empty([0, config.dim], (stream, device));
        let embed = if begins { assembly.fused(&[Weight::Embed], stream, source)? } else { none()? };
        let blocks = match streamed {
            Some(checkpoint) => Blocks::Streamed(checkpoint),
            None => Blocks::Resident(
                stage.clone().map(|index| assembly.block(index, source)).collect::<Result<_>>()?,
            ),
        };
        let final_gain = if ends { assembly.fused(&[Weight::FinalNorm], stream, source)? } else { none()? };
        let unembed = match config.tied_embeddings {
            _ if config.headless || !ends => None,
            true if !begins => Some(assembly.fused(&[Weight::Embed], product, source)?),
            false => Some(assembly.fused(&[Weight::Unembed], product, source)?),
            true if stream != product => Some(embed.f_to_kind(product)?),
            true => None,
        };
        Ok(Self {
            config: config.clone(),
            precision,
            device,
            kernels,
            stage,
            shard,
            embed,
            blocks,
            final_gain,
            unembed,
            rope: Tensor::f_from_slice(&config.rope_frequencies())?.f_to_device(device)?,
            local_rope: config
                .local_rope_frequencies()
                .map(|local| Tensor::f_from_slice(&local)?.f_to_device(device))
                .transpose()?,
        })
    }
}

/// Bytes of a weight in a type.
pub(super) fn bytes(weight: Weight, config: &Config, kind: Kind) -> u64 {
    weight.shape(config).iter().product::<i64>() as u64 * kind.elt_size_in_bytes() as u64
}

/// The standard deviation of a random weight; a gain is one. (A bias is drawn as the sums that it is added to.)
fn spread(config: &Config, weight: Weight) -> Option<f32> {
    if weight.is_gain() {
        return None;
    }
    let [_, fan_in] = *weight.shape(config) else { return Some(1.0) };
    Some(if weight == Weight::Embed { 1.0 } else { (fan_in as f32).sqrt().recip() })
}

/// A weight of [`Llama::random`], in f32; each has a random stream of its own.
pub(crate) fn random_weight(config: &Config, seed: u64, weight: Weight) -> Result<Tensor> {
    let shape = weight.shape(config);
    let Some(spread) = spread(config, weight) else {
        return Ok(Tensor::f_ones(&shape, (Kind::Float, Device::Cpu))?);
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(weight.number(config) as u64);
    let count = shape.iter().product::<i64>() as usize;
    let draw = |_| -> f32 { spread * Distribution::<f32>::sample(&StandardNormal, &mut rng) };
    let values: Vec<f32> = (0..count).map(draw).collect();
    Ok(Tensor::f_from_slice(&values)?.f_view(shape.as_slice())?)
}
