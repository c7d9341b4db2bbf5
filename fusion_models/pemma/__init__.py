"""PEMMA: a CT-pretrained UNETR with a PET pathway."""
