"""LoRA and DoRA through peft, and the parameter groups they define."""
