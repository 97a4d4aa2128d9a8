//! A gateway that answers by the name of the payment method.

use counterfoil::{Attempt, DeclineCode, Outcome, PaymentSource};

/// A payment gateway whose answers are known in advance: the payment method of an attempt is a
/// token that says what becomes of it.
///
/// | token | outcome |
/// |---|---|
/// | `pm_card_visa` | succeeds |
/// | `pm_card_chargeCustomerFail` | declined: `generic_decline` |
/// | `pm_card_authenticationRequired` | declined: `authentication_required` |
/// | `pm_card_chargeDeclinedInsufficientFunds` | declined: `insufficient_funds` |
/// | `pm_card_chargeDeclinedLostCard` | declined: `lost_card` |
/// | `pm_card_chargeDeclinedStolenCard` | declined: `stolen_card` |
/// | `pm_card_chargeDeclinedIncorrectNumber` | declined: `incorrect_number` |
/// | `pm_card_available_1200` | succeeds, for 1200 minor units at most |
/// | `pm_usBankAccount_processing` | on its way, until `payment_attempt.succeed` or `payment_attempt.fail` says more |
/// | any other | declined: `resource_missing` |
///
/// It has no state, so an outcome does not depend on how often or when it is asked. Where a
/// customer has no payment method it is not asked at all: the attempt fails for want of one.
#[derive(Debug, Clone, Copy, Default)]
pub struct SimulatedGateway;

impl SimulatedGateway {
    /// What becomes of an attempt on a payment method.
    #[must_use]
    pub fn outcome_of(payment_method: &str, amount: i64) -> Outcome {
        if let Some(available) = payment_method.strip_prefix("pm_card_available_") {
            return match available.parse() {
                Ok(available) if available >= amount => Outcome::Succeeded,
                Ok(available) if available > 0 => Outcome::SucceededInPart(available),
                _ => Outcome::Failed(DeclineCode::InsufficientFunds),
            };
        }
        Outcome::Failed(match payment_method {
            "pm_card_visa" => return Outcome::Succeeded,
            "pm_usBankAccount_processing" => return Outcome::Processing,
            "pm_card_chargeCustomerFail" => DeclineCode::GenericDecline,
            "pm_card_authenticationRequired" => DeclineCode::AuthenticationRequired,
            "pm_card_chargeDeclinedInsufficientFunds" => DeclineCode::InsufficientFunds,
            "pm_card_chargeDeclinedLostCard" => DeclineCode::LostCard,
            "pm_card_chargeDeclinedStolenCard" => DeclineCode::StolenCard,
            "pm_card_chargeDeclinedIncorrectNumber" => DeclineCode::IncorrectNumber,
            _ => DeclineCode::Other("resource_missing".to_owned()),
        })
    }
}

impl PaymentSource for SimulatedGateway {
    fn outcome(&mut self, attempt: &Attempt) -> Option<Outcome> {
        Some(Self::outcome_of(&attempt.payment_method, attempt.amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_what_becomes_of_the_attempt() {
        for (token, code) in [
            ("pm_card_visa", None),
            ("pm_card_chargeCustomerFail", Some("generic_decline")),
            ("pm_card_authenticationRequired", Some("authentication_required")),
            ("pm_card_chargeDeclinedInsufficientFunds", Some("insufficient_funds")),
            ("pm_card_chargeDeclinedLostCard", Some("lost_card")),
            ("pm_card_chargeDeclinedStolenCard", Some("stolen_card")),
            ("pm_card_chargeDeclinedIncorrectNumber", Some("incorrect_number")),
            ("pm_usBankAccount_processing", Some("processing")),
            ("pm_card_available_100", None),
            ("pm_card_available_99", Some("only 99")),
            ("pm_card_available_0", Some("insufficient_funds")),
            ("pm_card_available_x", Some("insufficient_funds")),
            ("pm_card_Visa", Some("resource_missing")),
            ("", Some("resource_missing")),
        ] {
            let declined = match SimulatedGateway::outcome_of(token, 100) {
                Outcome::Succeeded => None,
                Outcome::Processing => Some("processing".to_owned()),
                Outcome::SucceededInPart(part) => Some(format!("only {part}")),
                Outcome::Failed(code) => Some(code.as_str().to_owned()),
            };
            assert_eq!(declined.as_deref(), code, "{token}");
        }
    }
}
