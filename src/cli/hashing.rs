//! What a person is told while a model's weights are hashed for its identity.

/// Weights of fewer bytes are hashed before anyone wonders.
const WORTH_SAYING: u64 = 1 << 30;

/// Says once that weights are hashed, of models that take a while.
#[derive(Debug, Default)]
pub(crate) struct Hashing {
    said: bool,
}

impl Hashing {
    /// Hears how many bytes there are to hash.
    pub(crate) fn tell(&mut self, total: u64, say: impl FnOnce(&str)) {
        if !self.said && total >= WORTH_SAYING {
            let size = total as f64 / 1e9;
            say(&format!(
                "hashing the model's weights ({size:.1} GB), once for as long as they do not change …"
            ));
        }
        self.said = true;
    }
}
