//! A normalization as what it does to a weight.

use tch::{Device, Kind, Tensor};

use super::{Moments, Normalizer, templates};
use crate::Result;

/// Mean and spread of one side. \[D\] each, f64
type Side = (Tensor, Tensor);

impl Normalizer {
    /// What rows of a template are centered and scaled by, plus and minus; without one that is known, rows of no known template.
    pub(crate) fn moments(&self, template: Option<&str>) -> Result<(Side, Side)> {
        let own = self.templates.as_ref().zip(template);
        let place = own.and_then(|(all, name)| Some((all, templates::known_as(&all.names, name)?)));
        let side = |own: Option<&Moments>, pooled: &Moments| -> Result<Side> {
            let pick = |table: &Tensor| match place {
                Some((_, at)) => table.f_select(0, at as i64),
                None => table.f_alias(),
            };
            let of = own.unwrap_or(pooled);
            let double = |x: Tensor| x.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double);
            Ok((double(pick(&of.mean)?)?, double(pick(&of.std)?)?))
        };
        let (plus, minus) = (place.map(|(all, _)| &all.plus), place.map(|(all, _)| &all.minus));
        Ok((side(plus, &self.plus)?, side(minus, &self.minus)?))
    }

    /// The weight of states before erasure that gives what `weight` \[D\] gives of states after it: w − (left·right)ᵀw.
    pub(crate) fn before_erasure(&self, weight: &Tensor) -> Result<Tensor> {
        let Some((left, right)) = &self.erasure else { return Ok(weight.f_alias()?) };
        let own = |x: &Tensor| x.f_to_device(weight.device())?.f_to_kind(Kind::Double);
        Ok(weight.f_sub(&own(right)?.f_tr()?.f_mv(&own(left)?.f_tr()?.f_mv(weight)?)?)?)
    }
}
