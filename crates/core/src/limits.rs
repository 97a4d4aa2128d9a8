//! Every limit in one place (rule 1.10 and where it says so). Units come last in the names.

/// Bytes of an id.
pub const ID_BYTES_MAX: usize = 255;
/// Bytes of an idempotency key (1.7).
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Metadata entries on one object (1.6).
pub const METADATA_KEYS_MAX: usize = 50;
/// Characters of a metadata key (1.6).
pub const METADATA_KEY_CHARS_MAX: usize = 40;
/// Characters of a metadata value (1.6).
pub const METADATA_VALUE_CHARS_MAX: usize = 500;
/// Characters of a name, description or other free text.
pub const TEXT_CHARS_MAX: usize = 5_000;
/// Items of one subscription.
pub const SUBSCRIPTION_ITEMS_MAX: usize = 20;
/// Live subscriptions of one customer.
pub const CUSTOMER_SUBSCRIPTIONS_MAX: usize = 500;
/// Items added to a first invoice in one call.
pub const ADD_INVOICE_ITEMS_MAX: usize = 20;
/// Objects on a page of a list, where the caller does not say how many (1.8).
pub const PAGE_DEFAULT: usize = 10;
/// Objects on a page of a list (1.8).
pub const PAGE_MAX: usize = 100;
/// Months that a report is asked for at once.
pub const REPORT_MONTHS_MAX: u32 = 1_200;
/// Lines of one credit note.
pub const CREDIT_NOTE_LINES_MAX: usize = 250;
/// Invoice items on one invoice.
pub const INVOICE_ITEMS_MAX: usize = 250;
/// The lowest amount, in minor units, that a threshold may have (rule 6.13).
pub const THRESHOLD_AMOUNT_MIN: i64 = 50;
/// Lines on the invoices of one subscription that were made in one day, in UTC: more is a loop.
pub const SUBSCRIPTION_LINES_PER_DAY_MAX: usize = 10_000;
/// Pieces of due work that a preview looks ahead at most.
pub const PREVIEW_STEPS_MAX: usize = 4_000;
/// Discounts on one object (4.2).
pub const DISCOUNTS_MAX: usize = 20;
/// Months that a repeating coupon may last.
pub const COUPON_MONTHS_MAX: u32 = 1_200;
/// Years from its creation within which a coupon must be redeemed (4.1).
pub const COUPON_REDEEM_YEARS_MAX: u32 = 5;
/// Products that a coupon may be limited to.
pub const COUPON_PRODUCTS_MAX: usize = 100;
/// Characters of a promotion code.
pub const PROMOTION_CODE_CHARS_MAX: usize = 500;
/// Tax rates of one line (5).
pub const TAX_RATES_MAX: usize = 10;
/// Fractional digits of the percentage of a tax rate (5).
pub const TAX_PERCENTAGE_DIGITS_MAX: u32 = 4;
/// Tax ids of one customer.
pub const TAX_IDS_MAX: usize = 20;
/// Tiers of one price.
pub const PRICE_TIERS_MAX: usize = 100;
/// Longest price interval, in years.
pub const PRICE_INTERVAL_YEARS_MAX: u32 = 3;
/// Longest price interval, in months.
pub const PRICE_INTERVAL_MONTHS_MAX: u32 = 36;
/// Longest price interval, in weeks.
pub const PRICE_INTERVAL_WEEKS_MAX: u32 = 156;
/// Longest price interval, in days.
pub const PRICE_INTERVAL_DAYS_MAX: u32 = 1_095;
/// Longest interval at which what waits for an invoice is invoiced, in units: a year (1.10).
#[must_use]
pub const fn pending_item_interval_max(unit: crate::IntervalUnit) -> u32 {
    match unit {
        crate::IntervalUnit::Day => 365,
        crate::IntervalUnit::Week => 52,
        crate::IntervalUnit::Month => 12,
        crate::IntervalUnit::Year => 1,
    }
}
/// Longest trial, in days.
pub const TRIAL_DAYS_MAX: u32 = 730;
/// Seconds before the end of a trial at which it is announced (6.8).
pub const TRIAL_NOTICE_SECONDS: i64 = 3 * 86_400;
/// Seconds in which the invoice of a resumption, or of a pending update, waits for an attempt to
/// pay it (6.9 and 6.15).
pub const PENDING_INVOICE_SECONDS: i64 = 23 * 3_600;
/// Phases of one schedule, the current one and those that follow.
pub const SCHEDULE_PHASES_MAX: usize = 10;
/// Seconds before the end of a schedule at which it is announced (7).
pub const SCHEDULE_NOTICE_SECONDS: i64 = 7 * 86_400;
/// Days after which a quote expires where nothing else was said (11).
pub const QUOTE_DAYS: u32 = 30;
/// Days that a customer may be given to pay.
pub const DAYS_UNTIL_DUE_MAX: u32 = 3_650;
/// Largest amount that a caller may give, in minor units: fifteen digits.
pub const AMOUNT_MINOR_MAX: i64 = 999_999_999_999_999;
/// Largest quantity of a subscription item.
pub const QUANTITY_MAX: i64 = 999_999_999_999;
/// Characters of a price lookup key.
pub const PRICE_LOOKUP_KEY_CHARS_MAX: usize = 200;
/// Seconds a meter event may lie in the past (12.2): 35 days.
pub const METER_EVENT_PAST_SECONDS_MAX: i64 = 35 * 86_400;
/// Seconds a meter event may lie in the future (12.2).
pub const METER_EVENT_FUTURE_SECONDS_MAX: i64 = 300;
/// Seconds after receipt in which a meter event may be cancelled (12.4).
pub const METER_CANCEL_SECONDS_MAX: i64 = 86_400;
/// Integer digits of a meter value (12.2).
pub const METER_VALUE_INTEGER_DIGITS_MAX: usize = 15;
/// Fractional digits of a meter value (12.2).
pub const METER_VALUE_FRACTION_DIGITS_MAX: usize = 12;
/// Bytes of the name of meter events.
pub const METER_EVENT_NAME_BYTES_MAX: usize = 255;
/// Bytes of a meter event's identifier.
pub const METER_IDENTIFIER_BYTES_MAX: usize = 255;
/// Dimensions that a meter keeps, and that one of its events names (12.2).
pub const METER_DIMENSIONS_MAX: usize = 10;
/// Alerts of a meter on all customers, and as many on any one, that are not archived (12.7).
pub const METER_ALERTS_MAX: usize = 25;
/// Bytes of the name of a dimension, and of a value of it.
pub const METER_DIMENSION_BYTES_MAX: usize = 255;
/// Bytes of one row of a file of usage.
pub const USAGE_ROW_BYTES_MAX: usize = 64 * 1024;
/// Rows of a file of usage in one batch.
pub const USAGE_BATCH_ROWS_MAX: usize = 8_192;
/// Seconds that a renewal invoice stays a draft (8.2).
pub const INVOICE_DRAFT_SECONDS: i64 = 3_600;
/// Days ahead at which a draft may be told to finalize (8.2): five years.
pub const FINALIZATION_DAYS_AHEAD_MAX: i64 = 1_826;
/// Seconds in which the first payment of an incomplete subscription must succeed (6.2).
pub const INCOMPLETE_SECONDS: i64 = 23 * 3_600;
/// Retries of a failed payment in one schedule.
pub const PAYMENT_RETRIES_MAX: usize = 20;
/// Largest sequence number in an invoice number.
pub const INVOICE_SEQUENCE_MAX: u64 = 999_999_999;
/// Longest time between two retries of a payment, in days.
pub const PAYMENT_RETRY_DAYS_MAX: u32 = 90;
/// Seconds that an idempotency key is remembered for at least (1.7).
pub const IDEMPOTENCY_KEY_SECONDS: i64 = 86_400;

/// How many levels of lists and maps a stored value may have.
pub const VALUE_DEPTH_MAX: u8 = 64;
