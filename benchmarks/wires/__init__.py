"""What each provider sends, by kind of event, and who reads it; `decoding` times them."""
