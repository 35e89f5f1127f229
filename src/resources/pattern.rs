//! Patterns of all string fields, each with its description for error messages.
//!
//! What a tenant writes reaches FreeSWITCH, which expands and splits text (contract §10.4), so no pattern but that of
//! text for people allows characters that FreeSWITCH interprets. Kubernetes patterns (RE2) cannot exclude a word, and `x-pre-process`
//! consists of letters that names may contain: `schema` refuses it in every string, and the code that writes
//! XML must too.

/// The word that FreeSWITCH's XML preprocessor acts on, in upper or lower case, anywhere in a line (contract §1.6).
pub const PREPROCESSOR_WORD: &str = "x-pre-process";

/// Maximum length of a name in characters, as in `NAME_PATTERN`.
pub const NAME_LENGTH: usize = 63;

/// Maximum length of a name in characters, as in `SUBDOMAIN_PATTERN`.
pub const SUBDOMAIN_LENGTH: usize = 253;

macro_rules! patterns {
    ($($(#[doc = $doc:literal])+ $name:ident = $pattern:literal, $words:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = $pattern;)+

        /// Description of a pattern for error messages; `None` for a pattern that is not in this list.
        pub fn pattern_words(pattern: &str) -> Option<&'static str> {
            match pattern {
                $($name => Some($words),)+
                _ => None,
            }
        }
    };
}

patterns! {
    /// A Kubernetes object name (RFC 1123 subdomain).
    NAME_PATTERN = r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$",
        "a name of lower case letters, digits, '-' and '.', that starts and ends with a letter or digit";
    /// The name of a Secret or ConfigMap, as long as Kubernetes allows (RFC 1123 subdomain).
    SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "a name of lower case letters, digits, '-' and '.', whose parts start and end with a letter or digit";
    /// A name of a namespace (RFC 1123 label).
    NAMESPACE_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        "a name of lower case letters, digits and '-', that starts and ends with a letter or digit";
    /// A key of a Secret or ConfigMap.
    KEY_PATTERN = r"^[A-Za-z0-9._-]{1,253}$",
        "a key of letters, digits, '.', '_' and '-'";
    /// Text for people: any script, with at least one character that is no blank. Excluded are control characters,
    /// line separators, marks that turn the direction of writing (one name could look like another), and what XML
    /// cannot have. What FreeSWITCH cannot have is replaced on the way to it (`route::legal::Text`).
    TEXT_PATTERN = r"^ *[^ \x00-\x1f\x7f-\x9f\x{2028}-\x{202e}\x{2066}-\x{2069}\x{feff}\x{fffe}\x{ffff}][^\x00-\x1f\x7f-\x9f\x{2028}-\x{202e}\x{2066}-\x{2069}\x{feff}\x{fffe}\x{ffff}]*$",
        "text that is not blank, without control characters, line ends and marks that turn the direction of writing";
    /// An internal number: what a phone of the tenant dials.
    INTERNAL_NUMBER_PATTERN = r"^[0-9]{1,15}$",
        "an internal number of 1 to 15 digits";
    /// A public number in E.164 form with its plus sign (ITU-T E.164: at most 15 digits).
    E164_PATTERN = r"^\+[1-9][0-9]{4,14}$",
        "a public number in E.164 form, such as +493012345600";
    /// A public number in E.164 form, or the beginning of one.
    E164_PREFIX_PATTERN = r"^\+[1-9][0-9]{0,14}$",
        "a public number in E.164 form or the beginning of one, such as +4930123456";
    /// A DNS name that does not start with a digit (contract §9), in any spelling: compile makes it lower case and
    /// A-labels.
    DOMAIN_PATTERN = r"^\p{L}([\p{L}\p{M}\p{N}-]*[\p{L}\p{M}\p{N}])?(\.[\p{L}\p{N}]([\p{L}\p{M}\p{N}-]*[\p{L}\p{M}\p{N}])?)+\.?$",
        "a DNS name with a dot, that starts with a letter, such as acme.example.com";
    /// A host: a DNS name or an IPv4 address, or an IPv6 address without brackets.
    HOST_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$",
        "a DNS name or an IP address, without a port and without brackets";
    /// An IP address; that it is a real one is checked at compile.
    ADDRESS_PATTERN = r"^[0-9a-fA-F.:]{2,45}$",
        "an IP address";
    /// The name of a toll class.
    TOLL_CLASS_PATTERN = r"^[A-Z][A-Za-z0-9]{0,31}$",
        "a toll class of letters and digits that starts with a capital, such as National";
    /// A mailbox (RFC 5321, without quoting).
    EMAIL_PATTERN = r"^[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,188}[A-Za-z0-9])?$",
        "a mail address, such as alice@example.com";
    /// An ISO 3166-1 alpha-2 country code.
    COUNTRY_PATTERN = r"^[A-Z]{2}$",
        "a country code of two capital letters, such as DE";
    /// An IANA time zone name.
    TIME_ZONE_PATTERN = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$",
        "an IANA time zone, such as Europe/Berlin";
    /// A time of day, `HH:MM`; `24:00` ends a day.
    TIME_OF_DAY_PATTERN = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
        "a time of day from 00:00 to 24:00";
    /// A day, `MM-DD` for every year or `YYYY-MM-DD`; that there is such a day is checked at compile.
    DATE_PATTERN = r"^([0-9]{4}-)?[0-9]{2}-[0-9]{2}$",
        "a day as MM-DD for every year, or as YYYY-MM-DD";
    /// A day of every year; that there is such a day is checked at compile.
    MONTH_DAY_PATTERN = r"^[0-9]{2}-[0-9]{2}$",
        "a day of every year as MM-DD";
    /// A time, with a zone (RFC 3339) or without; that there is such a time is checked at compile.
    TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?$",
        "a time as YYYY-MM-DDTHH:MM, with or without seconds and a zone such as Z or +01:00";
    /// A time in a tenant's time zone; that there is such a time is checked at compile.
    LOCAL_TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$",
        "a time as YYYY-MM-DDTHH:MM:SS, without a zone";
    /// A codec as FreeSWITCH names it.
    CODEC_PATTERN = r"^[A-Za-z0-9]{1,16}$",
        "a codec as FreeSWITCH names it, such as PCMA";
    /// An IP address or a network in CIDR form; that it is a real one is checked at compile.
    CIDR_PATTERN = r"^[0-9a-fA-F.:]{2,45}(/[0-9]{1,3})?$",
        "an IP address or a network such as 198.51.100.0/24";
    /// Digits that a digit edit strips, prepends or matches.
    DIGITS_PATTERN = r"^\+?[0-9*#]*$",
        "digits, '*' and '#', with or without a leading '+'";
    /// Keys a caller presses in a menu.
    MENU_DIGITS_PATTERN = r"^[0-9*#]{1,8}$",
        "1 to 8 of digits, '*' and '#'";
    /// A feature code.
    FEATURE_CODE_PATTERN = r"^[*#][0-9*#]{1,7}$",
        "'*' or '#' with 1 to 7 more of digits, '*' and '#', such as *97";
    /// An emergency number.
    EMERGENCY_NUMBER_PATTERN = r"^[0-9]{2,8}$",
        "an emergency number of 2 to 8 digits, such as 112";
    /// A MAC address.
    MAC_PATTERN = r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$",
        "a MAC address in lower case, such as 80:5e:c0:12:34:56";
    /// A user by which a phone fetches its configuration.
    PROVISIONING_USER_PATTERN = r"^d-[a-z2-7]{10}$", "d- and ten letters or digits";
    /// A model of phone.
    MODEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$",
        "a model of letters, digits, spaces, '.', '_' and '-'";
    /// A language of a phone's menus (BCP 47), with a region or without.
    LANGUAGE_PATTERN = r"^[a-z]{2}(-[A-Z]{2})?$",
        "a language such as de or en-GB";
    /// A parking place: the digits that follow the feature code for Park.
    PARKING_PLACE_PATTERN = r"^[0-9]{1,8}$",
        "a parking place of 1 to 8 digits";
    /// The value of a further setting of a phone.
    SETTING_VALUE_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\x{2028}-\x{202e}\x{2066}-\x{2069}\x{feff}\x{fffe}\x{ffff}]*$",
        "text without control characters, line ends and marks that turn the direction of writing";
    /// A user name at a carrier.
    SIP_USER_PATTERN = r"^[A-Za-z0-9+][A-Za-z0-9+._@-]*$",
        "a user name of letters, digits, '+', '.', '_', '@' and '-'";
    /// An amount of storage, as Kubernetes writes quantities.
    QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$",
        "an amount such as 20Gi or 500M";
    /// An address on a web server, https only.
    URL_PATTERN = r"^https://[A-Za-z0-9.:_~/?&=%+-]+$",
        "an https address of letters, digits and . : _ ~ / ? & = % + -";
    /// A SHA-256 digest.
    SHA256_PATTERN = r"^[0-9a-f]{64}$",
        "a SHA-256 digest of 64 hexadecimal digits in lower case";
    /// A UUID.
    UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        "a UUID in lower case";
    /// A version of FreeSWITCH.
    VERSION_PATTERN = r"^[A-Za-z0-9.+~_-]+$",
        "a version of letters, digits, '.', '+', '~', '_' and '-'";
    /// How many of how many.
    COUNT_PATTERN = r"^[0-9]{1,10}/[0-9]{1,10}$",
        "a number, '/' and a number, such as 2/3";
    /// A state of a gateway, in FreeSWITCH's word.
    GATEWAY_STATE_PATTERN = r"^[A-Z_]{1,32}$",
        "a state in capital letters, such as REGED";
    /// A Postgres schema of ours.
    SCHEMA_PATTERN = r"^[a-z][a-z0-9_]{0,62}$",
        "a schema of lower case letters, digits and '_'";
    /// A kind.
    KIND_PATTERN = r"^[A-Z][A-Za-z]*$",
        "a kind of letters";
    /// A resource with its reason, such as `Extension anna: Conflict`.
    FAILING_PATTERN = r"^[A-Z][A-Za-z]* [a-z0-9.-]+: [A-Z][A-Za-z]*$",
        "kind, name and reason, such as `Extension anna: Conflict`";
    /// A value of a label.
    LABEL_VALUE_PATTERN = r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$",
        "a label value of at most 63 letters, digits, '.', '_' and '-', that starts and ends with a letter or digit";
}
