"""The text that the golden prompts and tokenizers are made from: passages of our own, two questions on most of them."""

# (title, passage, [(question, answer), …])
PASSAGES = [
    ("Tides", "The tide rises and falls twice a day along most coasts. The Moon's pull is the main cause; the Sun's adds to "
     "it at full and new moon, when the range is largest, and takes from it at half moon. In closed seas such as the Baltic "
     "the range is a few centimetres, and in the Bay of Fundy it can pass 16 metres.",
     [("is the moon the main cause of tides", True), ("are tides in the baltic higher than in the bay of fundy", False)]),
    ("Salt", "Sea water holds about 35 grams of salt in each kilogram. When it freezes, most of the salt stays behind in the "
     "water, so that old sea ice can be melted and drunk. “Salt water freezes at about −1.8 °C,” sailors say.",
     [("can old sea ice be melted and drunk", True), ("does sea water freeze at zero degrees celsius", False)]),
    ("Bridge", "The old bridge at Mostar was finished in 1566 and fell in 1993. Its single arch spans 29 m. Divers from the "
     "local club (Mostari) have leapt from it since 1664… The bridge was built again with stone of the same quarry and "
     "opened in July 2004.",
     [("was the bridge at mostar built again", True), ("does the bridge at mostar have three arches", False)]),
    ("Bees", "A worker bee lives for about six weeks in summer and several months in winter. She collects nectar in one "
     "twelfth of a teaspoon lots over her life. Drones have no sting. The queen is the only bee in the hive that lays "
     "fertilised eggs, up to 2,000 a day.",
     [("do drones have a sting", False), ("does the queen lay fertilised eggs", True)]),
    ("Chess", "In chess, castling moves two pieces at once: the king two squares towards a rook, and the rook to the square "
     "that the king has passed. It is allowed only if neither piece has moved, no piece stands between them and the king "
     "is not in check, nor passes a square under attack.",
     [("can you castle when the king is in check", False)]),
    ("Café", "Le café de la place ouvre à sept heures. Its owner, Zoë Müller-Strauß, sells crêpes for 3 € and naïve art for "
     "rather more; the signs are in French, in German and — since 2019 — in 日本語.",
     [("does the café sell crêpes", True), ("does the café open at nine", False)]),
]


def questions():
    """The rows of questions.jsonl."""
    for title, passage, asked in PASSAGES:
        for question, answer in asked:
            yield {"question": question, "title": title, "answer": answer, "passage": passage}


def prompt(row, answer):
    """llama-ccs' one template."""
    return (f"{row['passage']}\n\nAfter reading this passage, I have a question: {row['question']}?\n\n"
            f"True or False: {answer}")
