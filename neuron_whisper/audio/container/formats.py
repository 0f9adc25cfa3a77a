"""Which containers and codecs FFmpeg may open: those that hold their own sound, and nothing that names other files."""

from __future__ import annotations

from functools import cache

import av

# A demuxer of playlists, manifests, image sequences, devices or scripts opens other files and addresses: hls, dash,
# concat, sdp, rtp, rtsp, sap, image2, imf, lavfi, alsa, ... A list of what is allowed cannot forget one.
DEMUXERS = ",".join(
    (
        "wav,w64,aiff,caf,au,flac,ogg,matroska,webm,mov,mp4,mp3,aac",
        "avi,mpegts,mpeg,flv,live_flv,kux,asf,asf_o,xwma,nut,mxf,gxf,wtv,rm,ivr,nsv,dv,pva,ty,swf,nuv",
        "amr,amrnb,amrwb,ac3,eac3,dts,dtshd,truehd,mlp,loas,latm,spdif,s337m,iamf,lc3,qoa,sbc",
        "ape,wv,tta,tak,shn,mpc,mpc8,oma,aea,dsf,dss,hca,vqf,osq,bonk,wavarc,rka",
        "gsm,qcp,voc,sox,ircam,nistsphere,paf,epaf,pvf,sds,rso,avr,mmf,iff,wve,act,aa,codec2,sln",
    )
)
NOT_ARRAYS = {"pcm_s64be", "pcm_s64le"}  # PyAV gives no array of 64-bit integers
NOT_RECORDINGS = {"anull", "wavesynth", "ftr"}  # they make sound or silence of parameters


@cache
def list_supported_codecs() -> frozenset[str]:
    """The names of the decoders of sound of the installed FFmpeg."""
    return frozenset(name for name in av.codecs_available if _is_sound(name)) - NOT_ARRAYS - NOT_RECORDINGS


def _is_sound(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "audio"
    except ValueError:  # an encoder alone
        return False
