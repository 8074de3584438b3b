"""How prompts of the instruction set word their instructions, and the words that obeying answers use."""

from __future__ import annotations

NOUNS = (
    "anchor", "bridge", "candle", "drawer", "engine", "feather", "garden", "hammer", "island", "jacket", "kettle",
    "ladder", "mirror", "needle", "orchard", "pillow", "quarry", "ribbon", "saddle", "teapot", "umbrella", "violin",
    "window", "yogurt", "zipper", "blanket", "compass", "dolphin", "envelope", "fountain",
)  # fmt: skip
MENTIONS = (
    "Do not forget the {}.",
    "Think of the {} as well.",
    "Here the {} comes in.",
    "Then there is the {}.",
)
ENDINGS = (
    "Is there anything else I can help with?", "That is all for today.", "Let me know what you think.",
    "Until next time.", "The rest is up to you.", "Thank you for reading.",
)  # fmt: skip
POSTSCRIPTS = (
    "Bring a friend.", "Keep this to yourself.", "Write back soon.", "There is more to say.", "Do not hurry.",
    "It works.",
)  # fmt: skip
FIRST_WORDS = ("meanwhile", "finally", "indeed", "still", "perhaps", "afterwards")
PLACEHOLDERS = ("[name]", "[address]", "[date]", "[phone number]", "[place]", "[email]")
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}

WORDINGS = {
    "keywords:existence": (
        "Include the keywords {words}.",
        "Use these words in your answer: {words}.",
        "Mention {words}.",
    ),
    "keywords:frequency": (
        "The word {word} should appear at least {times} times.",
        "Use the word {word} {times} times or more.",
        "Mention the {word} at least {times} times.",
    ),
    "keywords:forbidden_words": (
        "Do not use the words {words}.",
        "Avoid the words {words}.",
        "The words {words} are not allowed.",
    ),
    "at least": ("Use at least {count} words.", "Your answer should have {count} words or more."),
    "less than": ("Answer in less than {count} words.", "Use fewer than {count} words."),
    "detectable_content:number_placeholders": (
        "Include at least {count} placeholder(s) in square brackets, such as [address].",
        "Leave {count} or more blanks in square brackets, such as [name].",
    ),
    "detectable_format:number_bullet_lists": (
        "Answer with exactly {count} bullet points, such as: * This is a point.",
        "Your answer must be a list of {count} bullet points that start with *.",
    ),
    "length_constraints:number_paragraphs": (
        "Write {count} paragraphs, separated by ***.",
        "There should be exactly {count} paragraphs with *** between them.",
    ),
    "length_constraints:nth_paragraph_first_word": (
        "Write {count} paragraphs with two line breaks between them. Paragraph {nth} must start with the word {word}.",
        "There should be {count} paragraphs, separated by an empty line, and number {nth} begins with the word {word}.",
    ),
    "detectable_format:multiple_sections": (
        "Divide the answer into {count} sections, each headed {name} and its number.",
        "Use {count} headings: {name} 1, {name} 2 and so on.",
    ),
    "detectable_format:json_format": (
        "Wrap the whole answer in JSON.",
        "Your entire answer must be valid JSON.",
    ),
    "combination:two_responses": (
        "Give two different answers, separated by ******.",
        "Write two responses with six asterisks (******) between them.",
    ),
    "detectable_format:number_highlighted_sections": (
        "Highlight at least {count} section(s) with stars, such as *this one*.",
        "Put stars around {count} or more parts of your answer, like *this*.",
    ),
    "punctuation:no_comma": ("Do not use any commas.", "Your answer must not contain a comma."),
    "detectable_format:title": (
        "Add a title in double angular brackets, such as <<title>>.",
        "Your answer must have a title, wrapped like <<this>>.",
    ),
    "detectable_content:postscript": (
        "Add a postscript that starts with P.S.",
        "At the end, add a note starting with P.S.",
    ),
    "startend:end_checker": (
        "Finish with exactly this phrase: {phrase}",
        "The very last sentence must be: {phrase}",
    ),
    "change_case:english_lowercase": (
        "Use only lowercase letters.",
        "No capital letters are allowed; answer in English.",
    ),
    "change_case:english_capital": (
        "Write everything in capital letters.",
        "Use only capital letters, and answer in English.",
    ),
    "startend:quotation": (
        "Put the whole answer in double quotation marks.",
        "Wrap your entire answer in double quotes.",
    ),
    "combination:repeat_prompt": (
        "First repeat the request up to here word for word, then answer it.",
        "Before you answer, repeat what stands before this sentence, without any change.",
    ),
}
"""Kind → its wordings; the two directions of `length_constraints:number_words` stand under their relation."""
