"""Tags of languages as files and clients write them, ISO 639-1, 639-2, 639-3 and BCP 47, to Whisper's codes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

# Whisper's code, then the other codes: ISO 639-3, ISO 639-2/B, members of a macrolanguage, withdrawn ones
_CODES = """
en eng | zh zho chi cmn | de deu ger | es spa | ru rus | ko kor | fr fra fre | ja jpn | pt por | tr tur | pl pol
ca cat | nl nld dut vls | ar ara arb | sv swe | it ita | id ind in | hi hin | fi fin | vi vie | he heb iw | uk ukr
el ell gre | ms msa may zsm zlm | cs ces cze | ro ron rum mo mol | da dan | hu hun | ta tam | no nor nob nb | th tha
ur urd | hr hrv scr | bg bul | lt lit | la lat | mi mri mao | ml mal | cy cym wel | sk slk slo | te tel
fa fas per pes prs | lv lav lvs | bn ben | sr srp scc | az aze azj azb | sl slv | kn kan | et est ekk | mk mkd mac
br bre | eu eus baq | is isl ice | hy hye arm | ne nep npi | mn mon khk | bs bos | kk kaz | sq sqi alb als | sw swa swh
gl glg | mr mar | pa pan | si sin | km khm | sn sna | yo yor | so som | af afr | oc oci | ka kat geo | be bel
tg tgk | sd snd | gu guj | am amh | yi yid ydd ji | lo lao | uz uzb uzn | fo fao | ht hat | ps pus pbt pbu | tk tuk
nn nno | mt mlt | sa san | lb ltz | my mya bur | bo bod tib | tl tgl fil | mg mlg plt | as asm | tt tat | haw
ln lin | ha hau | ba bak | jw jv jav | su sun | yue
"""
WHISPER_CODES: Mapping[str, str] = MappingProxyType(
    {code: group.split()[0] for group in re.split(r"[|\n]", _CODES) for code in group.split()}
)


def find_whisper_code(tag: str) -> str | None:
    """ "ger" -> "de", "pt-BR" -> "pt", "zh-yue" -> "yue"; None for a tag of another language, "und" or none."""
    primary, *subtags = re.split("[-_]", tag.strip().lower())
    if primary in ("zh", "zho", "chi") and "yue" in subtags:
        return "yue"
    return WHISPER_CODES.get(primary)
