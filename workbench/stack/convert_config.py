"""The configuration of a published InternVL chat model (InternViT + InternLM2) → that of the native classes."""

from __future__ import annotations

from typing import Any

from transformers import InternVLConfig

from workbench.errors import StackError

ONLY_KNOWN: dict[str, tuple[Any, ...]] = {
    "model_type": ("internvl_chat",),
    "template": ("internlm2-chat",),
    "ps_version": ("v2",),  # v1 swaps height and width in the pixel shuffle
    "select_layer": (-1,),
}
ROPE_TYPES = {None: "default", "linear": "linear", "dynamic": "dynamic"}


def check_kind(source: dict[str, Any]) -> None:
    """Raise StackError unless a `config.json` is that of an InternVL chat model on InternLM2, as published."""
    for name, known in ONLY_KNOWN.items():
        if source.get(name) not in known:
            raise StackError(
                f"The checkpoint's {name} is {source.get(name)!r}, but only {known[0]!r} can be converted; "
                "give the folder of a Holmes-VAU checkpoint."
            )
    architectures = (source.get("llm_config") or {}).get("architectures")
    if architectures != ["InternLM2ForCausalLM"]:
        raise StackError(f"The language model is {architectures}, but only InternLM2 can be converted.")


def native_config(source: dict[str, Any], *, image_token_id: int) -> Any:
    """The native `InternVLConfig` that computes what the published one does.

    Raises:
        StackError: it is another kind of model, or a setting has no counterpart.
    """
    check_kind(source)
    vision, text = source.get("vision_config") or {}, source["llm_config"]
    try:
        return _native(source, vision, text, image_token_id)
    except KeyError as missing:
        raise StackError(f"The checkpoint's config.json has no {missing}; copy it again.") from missing


def _native(source: dict[str, Any], vision: dict[str, Any], text: dict[str, Any], image_token_id: int) -> Any:
    size = source.get("force_image_size") or vision["image_size"]
    if size != vision["image_size"]:
        raise StackError(
            f"force_image_size is {size}, but the position table is made for {vision['image_size']} pixels."
        )
    ratio = source["downsample_ratio"]
    # Pillow rounds to 8 bits between its passes, so pixels differ from those of torch by up to 0.05 after scaling;
    # `InternVLBackbone` reads this. transformers keeps a setting it does not know.
    ours: dict[str, Any] = {"frame_resize": "pillow"}
    return InternVLConfig(
        vision_config=_vision(vision),
        text_config=_text(text),
        image_token_id=image_token_id,
        image_seq_length=round(size // vision["patch_size"] * ratio) ** 2,
        downsample_ratio=ratio,
        # The published top level says True and means nothing by it; here it would tie the output to the embedding.
        tie_word_embeddings=False,
        **ours,
    )


def _vision(source: dict[str, Any]) -> dict[str, Any]:
    return {
        "hidden_size": source["hidden_size"],
        "intermediate_size": source["intermediate_size"],
        "num_hidden_layers": source["num_hidden_layers"],
        "num_attention_heads": source["num_attention_heads"],
        "num_channels": source["num_channels"],
        "image_size": [source["image_size"]] * 2,
        "patch_size": [source["patch_size"]] * 2,
        "hidden_act": source["hidden_act"],
        "norm_type": source["norm_type"],
        "layer_norm_eps": source["layer_norm_eps"],
        "attention_bias": source["qkv_bias"],
        "use_qk_norm": source["qk_normalization"],
        "layer_scale_init_value": source["initializer_factor"],
        # InternViT has no norm after its last block; this makes the native one the identity.
        "use_mean_pooling": True,
    }


def _text(source: dict[str, Any]) -> dict[str, Any]:
    scaling = source.get("rope_scaling") or {}
    if scaling.get("type") not in ROPE_TYPES:
        raise StackError(f"rope_scaling is of type {scaling['type']!r}; InternLM2 knows only linear and dynamic.")
    rope = {"rope_theta": float(source["rope_theta"]), "rope_type": ROPE_TYPES[scaling.get("type")]}
    if scaling:
        rope["factor"] = float(scaling["factor"])
    same = (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "vocab_size",
        "hidden_act",
        "rms_norm_eps",
        "max_position_embeddings",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
    )
    return {name: source[name] for name in same} | {
        "model_type": "llama",
        "attention_bias": source["bias"],
        "rope_parameters": rope,
        "tie_word_embeddings": False,
    }
