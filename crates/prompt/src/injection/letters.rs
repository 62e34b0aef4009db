//! Letters as they are meant: one form for each, whatever alphabet or trick it is written with.

/// Zero-width characters, combining accents, and those that say in which direction letters run.
pub(super) fn is_unseen(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0100}'..='\u{e01ef}')
}

/// Characters that no font shows and that spell ASCII text all the same.
pub(super) fn is_tag(letter: char) -> bool {
    matches!(letter, '\u{e0020}'..='\u{e007e}')
}

/// A letter in lower case and without its accent, full width or decoration.
pub(super) fn plain(letter: char) -> char {
    if letter.is_ascii() {
        return letter.to_ascii_lowercase();
    }
    let code = u32::from(letter);
    let shifted = |first: u32| char::from_u32(code - first).unwrap_or(letter).to_ascii_lowercase();
    match letter {
        '\u{ff01}'..='\u{ff5e}' => shifted(0xff01 - 0x21),
        '\u{e0020}'..='\u{e007e}' => shifted(0xe0000),
        // The mathematical alphabets follow each other, capitals before small letters.
        '\u{1d400}'..='\u{1d6a3}' => char::from_u32(u32::from('a') + (code - 0x1d400) % 26).unwrap_or(letter),
        '\u{24b6}'..='\u{24e9}' => char::from_u32(u32::from('a') + (code - 0x24b6) % 26).unwrap_or(letter),
        _ => unaccented(letter.to_lowercase().next().unwrap_or(letter)),
    }
}

fn unaccented(letter: char) -> char {
    match letter {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'æ' | 'ǎ' => 'a',
        'ç' | 'ć' | 'č' | 'ĉ' | 'ċ' => 'c',
        'ď' | 'đ' | 'ð' => 'd',
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => 'e',
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => 'g',
        'ì'..='ï' | 'ĩ' | 'ī' | 'į' | 'ı' => 'i',
        'ĺ' | 'ļ' | 'ľ' | 'ł' => 'l',
        'ñ' | 'ń' | 'ņ' | 'ň' => 'n',
        'ò'..='ö' | 'ø' | 'ō' | 'ő' | 'œ' => 'o',
        'ŕ' | 'ř' => 'r',
        'ß' | 'ś' | 'ş' | 'š' | 'ș' => 's',
        'ţ' | 'ť' | 'ț' => 't',
        'ù'..='ü' | 'ū' | 'ů' | 'ű' | 'ų' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        'ά' => 'α',
        'έ' => 'ε',
        'ή' => 'η',
        'ί' | 'ϊ' | 'ΐ' => 'ι',
        'ό' => 'ο',
        'ύ' => 'υ',
        'ώ' => 'ω',
        'ς' => 'σ',
        other => other,
    }
}

/// The Latin letter that a Cyrillic or Greek one looks like.
pub(super) fn look_alike(letter: char) -> char {
    match letter {
        'а' | 'α' => 'a',
        'с' => 'c',
        'ԁ' => 'd',
        'е' | 'ё' | 'ε' => 'e',
        'һ' => 'h',
        'і' | 'ї' | 'ι' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'м' => 'm',
        'ո' | 'η' => 'n',
        'о' | 'ο' => 'o',
        'р' | 'ρ' => 'p',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' => 'u',
        'ν' => 'v',
        'х' => 'x',
        'у' => 'y',
        other => other,
    }
}

/// The letter that a digit stands for where words are written with digits.
pub(super) fn spelt_with_digit(letter: char) -> char {
    match letter {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '7' => 't',
        '8' => 'b',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_as_they_are_meant() {
        for (letters, meant) in [
            ("Ignore", "ignore"),
            ("Ｉｇｎｏｒｅ", "ignore"),
            ("𝐈𝐠𝐧𝐨𝐫𝐞", "ignore"),
            ("ⓘⒼⓝⓞⓡⓔ", "ignore"),
            ("précédentes", "precedentes"),
            ("Über", "uber"),
            ("Игнорируй", "игнорируи"),
        ] {
            assert_eq!(letters.chars().map(plain).collect::<String>().replace('й', "и"), meant, "{letters}");
        }
        assert_eq!("іgnоrе".chars().map(look_alike).collect::<String>(), "ignore");
        assert_eq!("1gn0r3".chars().map(spelt_with_digit).collect::<String>(), "ignore");
        assert!("\u{200b}\u{301}\u{feff}".chars().all(is_unseen));
        assert!(is_tag('\u{e0041}') && plain('\u{e0041}') == 'a');
    }
}
