"""The bundled model's tokenizer: a small byte-level BPE that encodes any text and splits long words.

It is deliberately small. Common words are one token each, while long class names such as "frisbee" or "skateboard"
are several, as they are in large models, so that sub-word handling is exercised for real.
"""

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from causal_attrib.scenes.language import CAPTION_PROMPT, CAPTION_QUESTION, NUMBERS, THINK_SUFFIX
from causal_attrib.scenes.world import CLASSES, COLOURS, PLACES, TIMES

VOCABULARY = 800
SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<image>")
TAGS = ("<think>", "</think>", "<answer>", "</answer>")

# Role names as in LLaVA-1.5. The image comes first in its turn, on a line of its own. An answer begins with the space
# after "ASSISTANT:" and ends with </s>; {% generation %} marks it for trainers that learn from answers only.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% set parts = [{'type': 'text', 'text': message['content']}]"
    " if message['content'] is string else message['content'] %}"
    "{% if message['role'] == 'assistant' %}"
    "ASSISTANT:{% generation %}"
    "{% for part in parts %}{% if part['type'] == 'text' %} {{ part['text'] }}{% endif %}{% endfor %}"
    "{{ eos_token }}{% endgeneration %}"
    "{% else %}"
    "{% if message['role'] == 'user' %}USER: {% endif %}"
    "{% for part in parts %}{% if part['type'] == 'image' %}<image>\n{% endif %}{% endfor %}"
    "{% for part in parts %}{% if part['type'] == 'text' %}{{ part['text'] }} {% endif %}{% endfor %}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)

# Everyday English for general merges: plain sentences about the things pictures show.
ENGLISH = """
There is a man with a hat in front of a house, and the woman next to him is holding a cup of hot tea.
This is a photo of the town where I was born; it was taken from the hill on the other side of the river.
Two people are walking along the street while another one is waiting for them at the corner of the park.
The children were playing with a small ball near the big tree, but their mother did not want them to go too far.
What do you think about the new book that she has written? I have not read all of it yet, only the first part.
You can see the mountains behind the old bridge when the weather is good and the air is clear.
He said that they would come back before the end of the day, because the last boat leaves at seven.
A group of friends is standing around the table, eating bread and cheese and talking about their work.
No one knows how many of these birds are left in the world, or what we should do to protect them.
It looks like an open window with white light coming into the room from outside.
Some of the flowers are yellow, some of them are orange, and the rest is pink, black, brown, purple or grey.
Please tell me which of the following sentences is true, which is false, and why that is so.
Yes, there are three or four more of them over here; no, none of those belongs to us any more.
After that we had to stop the engine, turn the machine around and look for something that was under it.
Once upon a time there was a king who lived in a very large house with nothing but clocks inside.
If the picture shows more than one thing, then answer with the number of things that it shows.
The image is a bit dark, so it must have been made in the evening or late at night after sunset.
Every word in the sentence matters to its meaning, although some words matter much more than others do.
She put her phone on the desk, closed the door and went out to look for the person who had called her name.
We are going to make a long trip by train this summer, through five countries and along two seas.
How much does it cost to get from here to the airport, and how long does it usually take during the week?
A little snow was lying on the road this morning; by noon the sun had turned it into water again.
The answer to the question is not given in the text, but it can be found with some thought and reason.
Someone has left food on the floor of the kitchen again: an apple, half of a sandwich and a piece of cake.
Both of the players are wearing red and blue shirts, and the one on the left is about to catch what the other threw.
Describe the colours, shapes, sizes and places of all objects, and the time at which the photo seems to be taken.
""".strip().splitlines()


def _corpus() -> list[str]:
    """Sentences to learn merges from; how often a line comes decides how soon its words become whole tokens."""
    frame = ["USER: Hello. ASSISTANT: hello", CAPTION_PROMPT, THINK_SUFFIX, CAPTION_QUESTION]
    frame += [f"USER: {word}" for word in ("Describe", "Does", "Is", "What", "Where", "How")]
    frame += ["What is in this image?", "Is there a thing in the image?", "What color is the thing?", "Where is this?"]
    frame += ["What time of day is it?", "How many objects are there?", "so there is no thing. there are objects."]
    facts = [f"a {colour} thing" for colour in COLOURS] + [f"a thing and a thing on the {place}" for place in PLACES]
    facts += ["by day", "at sunset", "at night"] + [f" {time} yes no" for time in TIMES] + [" ".join(NUMBERS[:5])]
    short = [f"a {cls}" for cls in CLASSES if len(cls) <= 6]
    long = [f"a {cls}" for cls in CLASSES if len(cls) > 6]
    return 40 * frame + 20 * facts + 12 * short + 3 * long + 3 * ENGLISH


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Train the tokenizer; the same code gives the same tokenizer everywhere."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(TAGS),
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    # The tags are ordinary text that happens to be one token each: they survive skip_special_tokens=True.
    tokenizer.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
