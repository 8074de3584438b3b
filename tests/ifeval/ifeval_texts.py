"""Texts to build answers from: many languages, prose, Markdown, and soups of awkward pieces."""

import random

# A few sentences in each language that the official prompts ask for, and in some others.
IN_LANGUAGE = {
    "ar": "السلام عليكم ورحمة الله. هذا نص قصير باللغة العربية عن الطقس والسفر والطعام في المدينة القديمة.",
    "bg": "Добър ден, това е кратък текст на български език за времето, храната и пътуването из страната.",
    "bn": "এটি বাংলা ভাষায় লেখা একটি ছোট লেখা। আমরা আজ শহরের আবহাওয়া এবং খাবার নিয়ে কথা বলব।",
    "de": "Das ist ein kurzer Text auf Deutsch über das Wetter, das Essen und die Reise in die alte Stadt.",
    "en": "This is a short text in English about the weather, the food and a journey to the old town.",
    "es": "Este es un texto breve en español sobre el tiempo, la comida y un viaje a la ciudad antigua.",
    "fa": "این یک متن کوتاه به زبان فارسی دربارهٔ هوا، غذا و سفر به شهر قدیمی است که می‌نویسم.",
    "fi": "Tämä on lyhyt suomenkielinen teksti säästä, ruoasta ja matkasta vanhaan kaupunkiin kesällä.",
    "fr": "Ceci est un court texte en français sur le temps, la cuisine et un voyage dans la vieille ville.",
    "gu": "આ ગુજરાતી ભાષામાં લખેલું એક ટૂંકું લખાણ છે. આજે આપણે શહેરના હવામાન અને ખોરાક વિશે વાત કરીશું.",
    "hi": "यह हिन्दी भाषा में लिखा हुआ एक छोटा लेख है। आज हम शहर के मौसम और भोजन के बारे में बात करेंगे।",
    "it": "Questo è un breve testo in italiano sul tempo, sul cibo e su un viaggio nella città vecchia.",
    "ja": "これは日本語で書かれた短い文章です。今日は天気と食べ物と古い町への旅について話します。",
    "kn": "ಇದು ಕನ್ನಡ ಭಾಷೆಯಲ್ಲಿ ಬರೆದ ಒಂದು ಸಣ್ಣ ಬರಹ. ಇಂದು ನಾವು ನಗರದ ಹವಾಮಾನ ಮತ್ತು ಆಹಾರದ ಬಗ್ಗೆ ಮಾತನಾಡೋಣ.",
    "ko": "이것은 한국어로 쓴 짧은 글입니다. 오늘은 날씨와 음식, 그리고 오래된 도시로의 여행에 대해 이야기합니다.",
    "mr": "हा मराठी भाषेत लिहिलेला एक छोटा लेख आहे. आज आपण शहरातील हवामान आणि जेवणाबद्दल बोलणार आहोत.",
    "ne": "यो नेपाली भाषामा लेखिएको एउटा छोटो लेख हो। आज हामी सहरको मौसम र खानाको बारेमा कुरा गर्नेछौं।",
    "pa": "ਇਹ ਪੰਜਾਬੀ ਭਾਸ਼ਾ ਵਿੱਚ ਲਿਖਿਆ ਇੱਕ ਛੋਟਾ ਲੇਖ ਹੈ। ਅੱਜ ਅਸੀਂ ਸ਼ਹਿਰ ਦੇ ਮੌਸਮ ਅਤੇ ਖਾਣੇ ਬਾਰੇ ਗੱਲ ਕਰਾਂਗੇ।",
    "pt": "Este é um texto curto em português sobre o tempo, a comida e uma viagem à cidade velha.",
    "ru": "Это короткий текст на русском языке о погоде, еде и путешествии в старый город летом.",
    "sw": "Hii ni makala fupi kwa lugha ya Kiswahili kuhusu hali ya hewa, chakula na safari ya mji wa kale.",
    "ta": "இது தமிழ் மொழியில் எழுதப்பட்ட ஒரு சிறிய கட்டுரை. இன்று நாம் நகரின் வானிலை மற்றும் உணவு பற்றி பேசுவோம்.",
    "te": "ఇది తెలుగు భాషలో రాసిన ఒక చిన్న వ్యాసం. ఈ రోజు మనం నగర వాతావరణం మరియు ఆహారం గురించి మాట్లాడుదాం.",
    "th": "นี่คือข้อความสั้น ๆ ภาษาไทยเกี่ยวกับสภาพอากาศ อาหาร และการเดินทางไปยังเมืองเก่า",
    "ur": "یہ اردو زبان میں لکھا ہوا ایک مختصر مضمون ہے۔ آج ہم شہر کے موسم اور کھانے کے بارے میں بات کریں گے۔",
    "vi": "Đây là một đoạn văn ngắn bằng tiếng Việt về thời tiết, món ăn và chuyến đi đến thành phố cổ.",
    "zh": "这是一篇用中文写的短文。今天我们谈谈天气、食物和去古城的旅行。",
}

WORDS = [
    "river",
    "mountain",
    "quiet",
    "letter",
    "story",
    "travel",
    "garden",
    "winter",
    "bread",
    "engine",
    "music",
    "teacher",
    "window",
    "simple",
    "yellow",
    "carefully",
    "between",
    "because",
    "however",
    "although",
    "together",
    "morning",
    "science",
    "history",
    "market",
    "doctor",
]

PIECES = [
    *".?!.,;:'\"()[]{}*#@-…“”‘’«»`&%$<>/\\_\t\n  \xa0—–",
    *(
        "\n\n",
        "...",
        ". . .",
        "--",
        "Dr.",
        "Mr.",
        "U.S.",
        "e.g.",
        "i.e.",
        "J.",
        "5.",
        "3.14",
        "1,000",
        "No.",
        "p.m.",
    ),
    *(
        "don't",
        "IT'S",
        "I'LL",
        "CANNOT",
        "gonna",
        "WANNA",
        "D'YE",
        "MORE'N",
        "DON'T",
        "'TIS",
        "I",
        "The",
        "NASA",
    ),
    *(
        "hello",
        "Hello",
        "WORLD",
        "ÉTÉ",
        "हिन्दी",
        "русский",
        "中文",
        "한국어",
        "ไทย",
        "https://x.org/y",
        "a@b.org",
    ),
    *(
        "* ",
        "- ",
        "**bold**",
        "*it*",
        "***",
        "******",
        "<<title>>",
        "[name]",
        "P.S.",
        "P.P.S",
        "My answer is yes.",
    ),
    *(
        "🙂",
        "e\u0301",
        "ﬁ",
        "ſ",
        "İ",
        "ß",
        "\u200b",
        "\u2028",
        "##",
        "```",
        "{}",
        '{"a": 1}',
        "1)",
        "SECTION 1",
    ),
]


def sentence(source: random.Random, words: int = 8) -> str:
    return " ".join(source.choices(WORDS, k=words)).capitalize() + source.choice(".....!?")


def prose(source: random.Random, sentences: int = 4) -> str:
    return " ".join(sentence(source, source.randint(4, 9)) for _ in range(sentences))


def model_like(source: random.Random) -> str:
    """Markdown as chat models write it."""
    bullets = "\n".join(f"{source.choice('*-')} **{word.title()}**: {sentence(source)}" for word in WORDS[:3])
    parts = [
        "Sure! Here's what you asked for:",
        f"# {sentence(source, 3)}",
        prose(source, 3),
        bullets,
        f"*{source.choice(WORDS)}* and **{source.choice(WORDS)}** matter. {sentence(source)}",
        "I hope this helps! Is there anything else I can help with?",
    ]
    return "\n\n".join(parts)


def soup(source: random.Random, pieces: int) -> str:
    glue = ("", "", " ", " ", "\n")
    return "".join(source.choice(PIECES) + source.choice(glue) for _ in range(pieces))
