//! Prompts laid out for one forward pass, and where each prompt's tokens are in that layout.

use tch::{Device, Kind, Tensor};
use torch_runtime::TensorExt as _;

use crate::error::{Error, Result};
use crate::hooks::Tokens;

mod kept_tokens;
mod prefix_tree;

pub(crate) use kept_tokens::KeptTokens;
use prefix_tree::Tree;

/// Where padding goes if prompts differ in length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// After the prompt, the default. Under a causal mask no real token sees it, so no mask is needed.
    #[default]
    Right,
    /// Before the prompt, so that all prompts end in the last column, which generation needs.
    Left,
}

/// Which earlier tokens a token attends to.
#[derive(Debug)]
pub(crate) enum Attends {
    /// All columns up to its own.
    Causal,
    /// Where the mask is true. `[B, 1, T, S]`, T queries over S keys.
    Mask(Tensor),
}

/// Prompts laid out in rows and columns of token ids.
///
/// The layout is private to the batch: a hook asks [`crate::Activation::select`] for the tokens that it wants and never
/// computes a row or a column itself. Prompts with a common beginning can share it ([`Batch::shared`]).
#[derive(Debug)]
pub struct Batch {
    /// \[B, T\] i64; 0 where padded.
    pub(crate) tokens: Tensor,
    /// \[B, T\] i64: each token's position in its prompt, for the rotary embedding.
    pub(crate) positions: Tensor,
    pub(crate) attends: Attends,
    /// For each prompt the slots of its tokens, in order: `row · T + column`.
    slots: Vec<Vec<i64>>,
    /// In a generation, each prompt's tokens that were read before these.
    past: Option<Vec<usize>>,
}

/// The id in padded slots. Any valid id does: nothing real attends to it.
const PAD: i64 = 0;

impl Batch {
    /// Lays out prompts of token ids, one per row, padded on the right.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`].
    pub fn new<P: AsRef<[u32]>>(prompts: &[P]) -> Result<Self> {
        Self::padded(prompts, Padding::Right)
    }

    /// Lays out prompts of token ids, one per row, padded on the given side.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`].
    pub fn padded<P: AsRef<[u32]>>(prompts: &[P], padding: Padding) -> Result<Self> {
        if let Some(prompt) = prompts.iter().position(|p| p.as_ref().is_empty()) {
            return Err(Error::EmptyPrompt { prompt });
        }
        let rows = prompts.len();
        let width = prompts.iter().map(|p| p.as_ref().len()).max().unwrap_or(0);
        let mut tokens = vec![PAD; rows * width];
        let mut positions = vec![0i64; rows * width];
        let mut slots = Vec::with_capacity(rows);
        for (row, prompt) in prompts.iter().enumerate() {
            let prompt = prompt.as_ref();
            let first = row * width + if padding == Padding::Left { width - prompt.len() } else { 0 };
            for (position, &id) in prompt.iter().enumerate() {
                tokens[first + position] = i64::from(id);
                positions[first + position] = position as i64;
            }
            slots.push((first..first + prompt.len()).map(|p| p as i64).collect());
        }
        let shape = [rows as i64, width as i64];
        let uneven = prompts.iter().any(|p| p.as_ref().len() != width);
        let attends = match padding {
            Padding::Left if uneven => Attends::Mask(left_mask(prompts, width)?),
            _ => Attends::Causal,
        };
        Ok(Self {
            tokens: Tensor::f_from_slice(&tokens)?.f_view(shape)?,
            positions: Tensor::f_from_slice(&positions)?.f_view(shape)?,
            attends,
            slots,
            past: None,
        })
    }

    /// Lays out prompts that grow token by token, all ending in the last column.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`].
    pub(crate) fn growing<P: AsRef<[u32]>>(prompts: &[P]) -> Result<Self> {
        let past = Some(vec![0; prompts.len()]);
        Ok(Self { past, ..Self::padded(prompts, Padding::Left)? })
    }

    /// Lays out groups of prompts, one group per row. A beginning that prompts of a group have in common is laid out
    /// once: a contrast pair costs its longer side and the other side's answer. Each token attends to its own prompt's
    /// tokens, at its own prompt's positions, so the result is that of the prompts alone, up to rounding.
    ///
    /// The batch's prompts are those of the first group, then those of the second, and so on. Shared tokens cannot be
    /// replaced for one of their prompts: [`crate::Activation::replace`] and [`crate::Forward::from_layer`] refuse
    /// them.
    ///
    /// ```
    /// use llama_core::Batch;
    ///
    /// let pair = [vec![1, 5, 6, 7], vec![1, 5, 6, 8]];
    /// assert_eq!(Batch::shared(&[&pair[..]])?.shape(), (1, 5)); // 1 row of 5 tokens, not 2 of 4
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`].
    pub fn shared<G: AsRef<[P]>, P: AsRef<[u32]>>(groups: &[G]) -> Result<Self> {
        let all = || groups.iter().flat_map(AsRef::as_ref);
        if let Some(prompt) = all().position(|p| p.as_ref().is_empty()) {
            return Err(Error::EmptyPrompt { prompt });
        }
        let trees: Vec<Tree> = groups.iter().map(|group| Tree::of(group.as_ref())).collect();
        let (rows, width) = (trees.len(), trees.iter().map(Tree::len).max().unwrap_or(0));
        let mut tokens = vec![PAD; rows * width];
        let mut positions = vec![0i64; rows * width];
        let mut slots = Vec::with_capacity(all().count());
        for (row, tree) in trees.iter().enumerate() {
            let first = row * width;
            for (slot, (&id, &position)) in tree.ids.iter().zip(&tree.positions).enumerate() {
                tokens[first + slot] = i64::from(id);
                positions[first + slot] = position as i64;
            }
            slots.extend(tree.paths.iter().map(|path| path.iter().map(|&p| (first + p) as i64).collect()));
        }
        let shape = [rows as i64, width as i64];
        let attends = if trees.iter().all(Tree::is_a_line) {
            Attends::Causal // padding is on the right
        } else {
            Attends::Mask(tree_mask(&trees, width)?)
        };
        Ok(Self {
            tokens: Tensor::f_from_slice(&tokens)?.f_view(shape)?,
            positions: Tensor::f_from_slice(&positions)?.f_view(shape)?,
            attends,
            slots,
            past: None,
        })
    }

    /// How many slots of a row these prompts take if they share their beginnings.
    pub fn shared_len<P: AsRef<[u32]>>(prompts: &[P]) -> usize {
        prefix_tree::shared_len(prompts)
    }

    /// One more token for each prompt of a left-padded batch, attending to everything before it in the cache.
    ///
    /// # Shapes
    /// `past` B: how many tokens each prompt has so far; `mask` \[B, S\] bool: which of the cache's columns are real, the
    /// new one included.
    pub(crate) fn step(ids: &[u32], past: &[usize], mask: &Tensor) -> Result<Self> {
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let positions: Vec<i64> = past.iter().map(|&own| own as i64).collect();
        Ok(Self {
            tokens: Tensor::f_from_slice(&ids)?.f_unsqueeze(1)?,
            positions: Tensor::f_from_slice(&positions)?.f_unsqueeze(1)?,
            attends: Attends::Mask(mask.f_unsqueeze(1)?.f_unsqueeze(1)?),
            slots: (0..ids.len() as i64).map(|row| vec![row]).collect(),
            past: Some(past.to_vec()),
        })
    }

    /// Whether prompts share tokens.
    pub fn shares(&self) -> bool {
        let mut slots: Vec<i64> = self.slots.concat();
        slots.sort_unstable();
        slots.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// The number of prompts.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are no prompts.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Each prompt's number of tokens.
    pub fn lengths(&self) -> Vec<usize> {
        self.slots.iter().map(Vec::len).collect()
    }

    /// In a generation, how many tokens of each prompt were read before these; `None` elsewhere.
    pub(crate) fn past(&self) -> Option<&[usize]> {
        self.past.as_deref()
    }

    /// Rows and columns of the layout, padding included: B and T.
    pub fn shape(&self) -> (i64, i64) {
        let size = self.tokens.size();
        (size[0], size[1])
    }

    /// Slots of each prompt's tokens in the layout, flattened: `row · T + column`.
    pub(crate) fn slots(&self) -> &[Vec<i64>] {
        &self.slots
    }

    /// The slots of all these tokens; `None` where that leaves nothing out.
    pub(crate) fn kept(&self, wanted: &[Option<&Tokens>]) -> Result<Option<KeptTokens>> {
        let (rows, width) = self.shape();
        let mut slots = Vec::new();
        for tokens in wanted.iter().flatten() {
            slots.extend(tokens.slots(self)?);
        }
        Ok(KeptTokens::new(slots, rows as usize, width as usize))
    }

    /// The highest position of a token.
    pub(crate) fn last_position(&self) -> Result<i64> {
        if self.positions.numel() == 0 { Ok(0) } else { Ok(self.positions.f_max()?.f_int64_value(&[])?) }
    }

    /// Which keys are less than `window` tokens before each query, by their positions in their prompts. In a step of
    /// generation, whose keys are a left-padded cache's, columns are as far apart as positions.
    ///
    /// # Shapes
    /// → \[B or 1, 1, T, S\] bool, S as in the batch's own mask
    pub(crate) fn within(&self, window: i64) -> Result<Tensor> {
        let (_, width) = self.shape();
        let columns = match &self.attends {
            Attends::Mask(seen) => seen.dims4("what is seen")?.3,
            Attends::Causal => width,
        };
        let (queries, keys) = if columns == width {
            (self.positions.f_alias()?, self.positions.f_alias()?) // [B, T]
        } else {
            let keys = Tensor::f_arange(columns, (Kind::Int64, Device::Cpu))?.f_unsqueeze(0)?; // [1, S]
            (keys.f_narrow(1, columns - width, width)?, keys)
        };
        let oldest = queries.f_sub_scalar(window)?.f_unsqueeze(2)?; // [B, T, 1]
        Ok(keys.f_unsqueeze(1)?.f_gt_tensor(&oldest)?.f_unsqueeze(1)?)
    }

    /// The first prompt of more than `most` tokens.
    pub(crate) fn check_lengths(&self, most: usize) -> Result<()> {
        let positions: Vec<i64> = Vec::try_from(&self.positions.f_flatten(0, -1)?)?;
        for (prompt, slots) in self.slots.iter().enumerate() {
            // A prompt's last token is at its highest position; in a step of generation it is the only one.
            let last = slots.last().and_then(|&slot| positions.get(slot as usize));
            if let Some(&last) = last.filter(|&&last| last >= most as i64) {
                return Err(Error::TooLong { prompt, tokens: last as usize + 1, most });
            }
        }
        Ok(())
    }

    /// The first token that the embedding has no row for.
    pub(crate) fn check_vocabulary(&self, vocab: i64) -> Result<()> {
        let flat = self.tokens.f_flatten(0, -1)?;
        if flat.numel() == 0 || flat.f_max()?.f_int64_value(&[])? < vocab {
            return Ok(());
        }
        for (prompt, slots) in self.slots.iter().enumerate() {
            for (position, &slot) in slots.iter().enumerate() {
                let id = flat.f_int64_value(&[slot])?;
                if id >= vocab {
                    return Err(Error::TokenOutOfRange { prompt, position, id, vocab });
                }
            }
        }
        Ok(())
    }
}

/// Each token sees the tokens above it in its row's tree; a padded slot sees itself, so that its softmax is defined.
///
/// # Shapes
/// → \[B, 1, T, T\] bool.
fn tree_mask(trees: &[Tree], width: usize) -> Result<Tensor> {
    let mut mask = vec![false; trees.len() * width * width];
    for (tree, own) in trees.iter().zip(mask.chunks_mut((width * width).max(1))) {
        tree.attend(own, width);
        for padded in tree.len()..width {
            own[padded * width + padded] = true;
        }
    }
    let shape = [trees.len() as i64, 1, width as i64, width as i64];
    Ok(Tensor::f_from_slice(&mask)?.f_view(shape)?)
}

/// Causal, and blind to the padding in front; a padded slot attends to itself, so that its softmax is defined.
///
/// # Shapes
/// → \[B, 1, T, T\] bool.
fn left_mask<P: AsRef<[u32]>>(prompts: &[P], width: usize) -> Result<Tensor> {
    let options = (Kind::Bool, Device::Cpu);
    let causal = Tensor::f_ones([width as i64, width as i64], options)?.f_tril(0)?;
    let itself = Tensor::f_eye(width as i64, options)?;
    let starts: Vec<i64> = prompts.iter().map(|p| (width - p.as_ref().len()) as i64).collect();
    let starts = Tensor::f_from_slice(&starts)?.f_view([-1, 1])?;
    let real = Tensor::f_arange(width as i64, (Kind::Int64, Device::Cpu))?.f_ge_tensor(&starts)?; // [B, T]
    let visible = causal.f_logical_and(&real.f_unsqueeze(1)?)?; // [B, T, T]
    Ok(visible.f_logical_or(&itself)?.f_unsqueeze(1)?)
}
