"""A random model of a few MB: its answers are noise, all around them is the engine's.

usage: tiny_model.py hf FOLDER LAYERS | gguf FILE LAYERS | adapter FOLDER LAYERS SEED
"""
import json
import os
import sys

import numpy as np

CONTEXT = 4096
HIDDEN, HEADS, HEAD, INNER = 128, 2, 64, 256
# The more layers, the slower: what a client that leaves can still interrupt.
LAYERS = int(sys.argv[3])
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Two merges: llama.cpp refuses a vocabulary without any.
MERGES = [("t", "h"), ("th", "e")]
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def letters():
    """The 256 characters that byte-level vocabularies write bytes as (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]


VOCABULARY = [*SPECIAL, *letters(), *(a + b for a, b in MERGES)]
START, END = VOCABULARY.index("<|endoftext|>"), VOCABULARY.index("<|im_end|>")


def weights():
    """Tensors by Hugging Face's names; the same on every machine."""
    random = np.random.default_rng(11)

    def drawn(*shape, scale=0.05):
        return (random.standard_normal(shape) * scale).astype(np.float32)

    def ones():
        return np.ones(HIDDEN, np.float32)

    tensors = {
        "model.embed_tokens.weight": drawn(len(VOCABULARY), HIDDEN, scale=1.0),
        "model.norm.weight": ones(),
        "lm_head.weight": drawn(len(VOCABULARY), HIDDEN, scale=0.1),
    }
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        tensors[at + "input_layernorm.weight"] = ones()
        tensors[at + "post_attention_layernorm.weight"] = ones()
        for part in "qkv":
            tensors[f"{at}self_attn.{part}_proj.weight"] = drawn(HEADS * HEAD, HIDDEN)
            tensors[f"{at}self_attn.{part}_proj.bias"] = np.zeros(HEADS * HEAD, np.float32)
        tensors[at + "self_attn.o_proj.weight"] = drawn(HIDDEN, HEADS * HEAD)
        tensors[at + "mlp.gate_proj.weight"] = drawn(INNER, HIDDEN)
        tensors[at + "mlp.up_proj.weight"] = drawn(INNER, HIDDEN)
        tensors[at + "mlp.down_proj.weight"] = drawn(HIDDEN, INNER)
    return tensors


def write_hf(folder):
    from safetensors.numpy import save_file
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    os.makedirs(folder, exist_ok=True)
    tokenizer = Tokenizer(models.BPE(vocab={text: i for i, text in enumerate(VOCABULARY)}, merges=MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    files = {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": CONTEXT,
            "clean_up_tokenization_spaces": False,
            "chat_template": TEMPLATE,
        },
        "generation_config.json": {"eos_token_id": END, "pad_token_id": START},
        "config.json": {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "hidden_size": HIDDEN,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS,
            "hidden_act": "silu",
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "vocab_size": len(VOCABULARY),
            "tie_word_embeddings": False,
            "torch_dtype": "float32",
            "bos_token_id": START,
            "eos_token_id": END,
        },
    }
    for name, content in files.items():
        with open(os.path.join(folder, name), "w") as file:
            json.dump(content, file)
    save_file(weights(), os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})


RANK = 8


def write_adapter(folder):
    """A LoRA adapter of the model of as many layers, strong enough that its words are others."""
    from safetensors.numpy import save_file

    random = np.random.default_rng(int(sys.argv[4]))
    parts = ["q_proj", "v_proj"]
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "tiny",
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": parts,
    }
    tensors = {}
    for layer in range(LAYERS):
        for part in parts:
            at = f"base_model.model.model.layers.{layer}.self_attn.{part}"
            for name, shape in (("lora_A", (RANK, HIDDEN)), ("lora_B", (HEADS * HEAD, RANK))):
                tensors[f"{at}.{name}.weight"] = (random.standard_normal(shape) * 0.5).astype(np.float32)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "adapter_config.json"), "w") as file:
        json.dump(config, file)
    save_file(tensors, os.path.join(folder, "adapter_model.safetensors"), metadata={"format": "pt"})


GGUF_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    fixed = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in fixed:
        return fixed[name]
    _, _, layer, rest = name.split(".", 3)
    part, _, kind = rest.rpartition(".")
    return f"blk.{layer}.{GGUF_NAMES[part]}.{kind}"


def write_gguf(path):
    import gguf

    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(VOCABULARY)
    kinds = [gguf.TokenType.CONTROL if text in SPECIAL else gguf.TokenType.NORMAL for text in VOCABULARY]
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in MERGES])
    writer.add_bos_token_id(START)
    writer.add_eos_token_id(END)
    writer.add_pad_token_id(START)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, tensor in weights().items():
        writer.add_tensor(gguf_name(name), tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    {"hf": write_hf, "gguf": write_gguf, "adapter": write_adapter}[sys.argv[1]](sys.argv[2])
