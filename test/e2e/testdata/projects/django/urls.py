import views
from django.urls import path

urlpatterns = [path("", views.index), path("report", views.report), path("slow", views.index)]
